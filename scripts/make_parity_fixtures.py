"""Records what PyTorch, transformers and peft compute on a tiny BERT: hidden states, losses and every gradient.

Writes fixtures/{tiny-bert,peft-adapter,peft-token-cls}/, fixtures/parity.safetensors and fixtures/parity.json.
PyTorch runs padded with an attention mask; what is dumped are the real tokens only, concatenated ([T, ...]).
Weights and inputs are f32, the computation is f64, the results are stored as f32: they are exact to f32 rounding.
"""

import argparse
import json
from pathlib import Path

import peft
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from tiny_bert import (
    SPECIAL_IDS,
    encode,
    integers,
    load,
    mean_pool,
    normal,
    random_batch,
    tokenization,
    write_json,
    write_tiny_bert,
)
from transformers import BertForTokenClassification, BertModel

LENGTHS = [7, 1, 12, 5, 9]
ANCHOR_LENGTHS, POSITIVE_LENGTHS = [4, 6, 2, 5], [5, 3, 7, 4]
CLASSES, TAGS, CONCEPTS = 3, 5, 6
SEQUENCE_LABELS = [2, 0, 1, 1, 0]
TEMPERATURE, SCALE, BIAS = 0.05, 10.0, -4.0
FALSE_NEGATIVES = [(0, 2), (2, 0), (1, 3)]  # (anchor, positive), off the diagonal, not symmetric on purpose
LORA_MODULES = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
CLS_CASE_TENSORS = [
    "embeddings.word_embeddings.weight",
    "encoder.layer.1.attention.self.query.weight",
    "encoder.layer.2.output.LayerNorm.weight",
]


class Dump:
    """Collects named tensors (f64 becomes f32 unless told otherwise) and named scalars."""

    def __init__(self):
        self.tensors, self.scalars = {}, {}

    def put(self, name: str, tensor: torch.Tensor, dtype=None) -> None:
        dtype = dtype or (torch.float32 if tensor.is_floating_point() else tensor.dtype)
        self.tensors[name] = tensor.detach().to(dtype).contiguous().clone()

    def grads(self, case: str, loss: torch.Tensor, weights: dict[str, torch.Tensor]) -> None:
        self.scalars[f"{case}.loss"] = loss.item()
        for name, grad in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            # A constant added to every key shifts all scores of a row alike, which softmax does not see: the gradient
            # is zero, and what arithmetic leaves of it is noise that would differ from machine to machine.
            if name.endswith(("key.bias", "k_lin.bias", "attn.k.bias")):
                assert grad.abs().max() < 1e-14, name
                grad = torch.zeros_like(grad)
            self.put(f"{case}.grad.{name}", grad)


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    """An f64 weight that gradients are asked for."""
    return tensor.double().requires_grad_()


def head(dump: Dump, case: str, outputs: int, hidden: int) -> dict[str, torch.Tensor]:
    weights = {
        "head.weight": normal(f"{case}.head.weight", outputs, hidden, std=0.3),
        "head.bias": normal(f"{case}.head.bias", outputs, std=0.2),
    }
    for name, value in weights.items():
        dump.put(f"{case}.{name}", value)
    return {name: leaf(value) for name, value in weights.items()}


def hf_name(name: str) -> str:
    """The backbone's own name of a weight inside a peft model."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default", "")


def hidden_states(dump, model, ids, lengths=LENGTHS):
    output, mask = encode(model, ids, lengths)
    for i, state in enumerate(output.hidden_states):
        dump.put(f"hidden.{i}", state[mask])


def sequence(dump, case, model, weights, head_weights, ids):
    output, mask = encode(model, ids, LENGTHS)
    logits = F.linear(mean_pool(output.last_hidden_state, mask), *head_weights.values())
    dump.put(f"{case}.logits", logits)
    dump.grads(case, F.cross_entropy(logits, torch.tensor(SEQUENCE_LABELS)), weights | head_weights)


def set_lora(model, std: float) -> None:
    """Random A and B: with peft's zero B an adapter would do nothing and A would get no gradient."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(normal(f"peft.{hf_name(name)}", *weight.shape, std=std))


def save_adapter(model, directory: Path) -> None:
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)  # a model card of placeholders
    config = directory / "adapter_config.json"
    values = json.loads(config.read_text())
    # peft keeps these as sets, whose order changes from run to run
    for key in ("target_modules", "modules_to_save"):
        values[key] = values[key] and sorted(values[key])
    write_json(config, values)


def sequence_lora(dump, backbone, head_weights, ids, out):
    config = LoraConfig(
        task_type="FEATURE_EXTRACTION", r=4, lora_alpha=8, target_modules=LORA_MODULES, layers_to_transform=[1, 2]
    )
    model = get_peft_model(load(BertModel, backbone, add_pooling_layer=False), config).eval()
    set_lora(model, std=0.2)
    save_adapter(model, out / "peft-adapter")
    model.double().requires_grad_()
    weights = {hf_name(name): weight for name, weight in model.named_parameters()}
    for name, weight in weights.items():
        if "lora_" in name:
            dump.put(f"lora.{name}", weight)
    sequence(dump, "sequence_lora", model, weights, head_weights, ids)


def peft_token_cls(dump, backbone, ids, out):
    config = LoraConfig(
        task_type="TOKEN_CLS", r=2, lora_alpha=4, target_modules=["query", "value"], layers_to_transform=[2]
    )
    base = load(BertForTokenClassification, backbone, num_labels=TAGS)
    with torch.no_grad():
        base.classifier.weight.copy_(normal("peft_token_cls.classifier.weight", *base.classifier.weight.shape, std=0.3))
        base.classifier.bias.copy_(normal("peft_token_cls.classifier.bias", TAGS, std=0.2))
    model = get_peft_model(base, config).eval()
    set_lora(model, std=0.4)
    save_adapter(model, out / "peft-token-cls")
    output, mask = encode(model.double(), ids, LENGTHS)
    dump.put("peft_token_cls.logits", output.logits[mask])


def token(dump, model, weights, ids, vocab):
    """Labels on first sub-tokens only: none on [CLS], [SEP] and ## pieces."""
    labels = torch.tensor(
        [-100 if i in SPECIAL_IDS or vocab[i].startswith("##") else t % TAGS for t, i in enumerate(ids.tolist())]
    )
    dump.put("token.labels", labels)
    head_weights = head(dump, "token", TAGS, model.config.hidden_size)
    output, mask = encode(model, ids, LENGTHS)
    logits = F.linear(output.last_hidden_state[mask], *head_weights.values())
    dump.put("token.logits", logits)
    dump.grads("token", F.cross_entropy(logits, labels, ignore_index=-100), weights | head_weights)


def cls(dump, model, weights, head_weights, ids):
    output, _ = encode(model, ids, LENGTHS)
    logits = F.linear(output.last_hidden_state[:, 0], *head_weights.values())
    dump.put("cls.logits", logits)
    chosen = {name: weights[name] for name in CLS_CASE_TENSORS}
    dump.grads("cls", F.cross_entropy(logits, torch.tensor(SEQUENCE_LABELS)), chosen | head_weights)


def symmetric_infonce(anchors, positives, excluded=None):
    """Mean of the cross-entropies along rows and columns of cos(a, p) / temperature, both [B, H] before normalising."""
    scores = F.normalize(anchors) @ F.normalize(positives).T / TEMPERATURE  # [B, B]
    if excluded is not None:
        scores = scores.masked_fill(excluded, -torch.inf)
    gold = torch.arange(len(scores))
    return 0.5 * (F.cross_entropy(scores, gold) + F.cross_entropy(scores.T, gold))


def infonce(dump, model, weights, vocab_size):
    pooled = {}
    for side, lengths in (("anchor", ANCHOR_LENGTHS), ("positive", POSITIVE_LENGTHS)):
        ids = random_batch(f"infonce.{side}", lengths, vocab_size)
        dump.put(f"infonce.{side}_ids", ids)
        dump.put(f"infonce.{side}_lengths", torch.tensor(lengths))
        output, mask = encode(model, ids, lengths)
        pooled[f"{side}_pooled"] = mean_pool(output.last_hidden_state, mask)
        dump.put(f"infonce.{side}_pooled", pooled[f"{side}_pooled"])
    dump.grads("infonce", symmetric_infonce(*pooled.values()), weights | pooled)

    excluded = torch.zeros(len(ANCHOR_LENGTHS), len(ANCHOR_LENGTHS), dtype=torch.bool)
    excluded[tuple(zip(*FALSE_NEGATIVES))] = True
    dump.put("infonce_masked.excluded", excluded, torch.uint8)
    dump.grads("infonce_masked", symmetric_infonce(*pooled.values(), excluded), pooled)


def concept(dump, model, weights, ids):
    hidden, tokens = model.config.hidden_size, len(ids)
    concepts = normal("concept.vectors", CONCEPTS, hidden)
    projections = {
        name: torch.eye(hidden) + normal(f"concept.{name}", hidden, hidden, std=0.1)
        for name in ("token_projection", "concept_projection")
    }
    targets = (integers("concept.targets", 0, 4, tokens, CONCEPTS) == 0).double()  # a quarter are members
    kept = torch.cat([torch.tensor([0 < i < n - 1 for i in range(n)]) for n in LENGTHS])
    for name, value in {"vectors": concepts, **projections}.items():
        dump.put(f"concept.{name}", value)
    dump.put("concept.targets", targets, torch.uint8)
    dump.put("concept.token_mask", kept, torch.uint8)

    projections = {name: leaf(value) for name, value in projections.items()}
    output, mask = encode(model, ids, LENGTHS)
    u = F.normalize(output.last_hidden_state[mask] @ projections["token_projection"].T)  # [T, H]
    v = F.normalize(concepts.double() @ projections["concept_projection"].T)  # [J, H]
    scores = SCALE * u @ v.T + BIAS  # [T, J]
    dump.put("concept.scores", scores)
    loss = F.binary_cross_entropy_with_logits(scores[kept], targets[kept])
    dump.grads("concept", loss, weights | projections)


def adamw(dump):
    """Five steps; the gradients' norms lie below and above 1, so that clipping acts on some steps only."""
    start = normal("adamw.start", 50)
    grads = normal("adamw.grads", 5, 50) * torch.tensor([0.05, 0.5, 0.1, 2.0, 0.01])[:, None]
    dump.put("adamw.start", start)
    dump.put("adamw.grads", grads)
    for name, clip in (("adamw.after", False), ("adamw.clipped_after", True)):
        weight, after = leaf(start), []
        optimizer = torch.optim.AdamW([weight], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
        for grad in grads.double():
            weight.grad = grad.clone()
            if clip:
                torch.nn.utils.clip_grad_norm_([weight], 1.0)
            optimizer.step()
            after.append(weight.detach().clone())
        dump.put(name, torch.stack(after))


def gelu(dump):
    """x Phi(x) by erfc, which keeps its digits where 1 + erf(x) cancels, for negative x."""
    x = leaf(torch.linspace(-8, 8, 401, dtype=torch.float64))
    y = 0.5 * x * torch.erfc(-x / 2**0.5)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    for name, value in (("x", x), ("y", y), ("derivative", derivative)):
        dump.put(f"gelu.{name}", value, torch.float64)


def write(dump: Dump, out: Path, backbone: Path) -> None:
    versions = {module.__name__: module.__version__.split("+")[0] for module in (torch, transformers, peft, tokenizers)}
    save_file(dump.tensors, out / "parity.safetensors", metadata={"versions": json.dumps(versions)})
    described = {
        "about": __doc__,
        "versions": versions,
        "settings": {
            "lengths": LENGTHS,
            "sequence_labels": SEQUENCE_LABELS,
            "ignored_label": -100,
            "infonce": {"temperature": TEMPERATURE},
            "concept": {"scale": SCALE, "bias": BIAS},
            "lora": {"r": 4, "alpha": 8, "layers": [1, 2], "modules": LORA_MODULES},
            "peft_token_cls": {"r": 2, "alpha": 4, "layers": [2], "modules": ["query", "value"]},
            "adamw": {"lr": 1e-2, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1, "max_grad_norm": 1.0},
        },
        "scalars": dump.scalars,
        "tokenization": tokenization(backbone),
    }
    write_json(out / "parity.json", described)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "fixtures")
    out = parser.parse_args().out
    backbone = out / "tiny-bert"
    write_tiny_bert(backbone)

    dump = Dump()
    model = load(BertModel, backbone, add_pooling_layer=False).double()
    weights = dict(model.named_parameters())
    vocab = (backbone / "vocab.txt").read_text(encoding="utf-8").splitlines()
    ids = random_batch("batch", LENGTHS, len(vocab))
    dump.put("input_ids", ids)
    dump.put("lengths", torch.tensor(LENGTHS))
    dump.put("sequence.labels", torch.tensor(SEQUENCE_LABELS))

    hidden_states(dump, model, ids)
    class_head = head(dump, "sequence", CLASSES, model.config.hidden_size)  # shared by the three sequence cases
    sequence(dump, "sequence", model, weights, class_head, ids)
    sequence_lora(dump, backbone, class_head, ids, out)
    cls(dump, model, weights, class_head, ids)
    token(dump, model, weights, ids, vocab)
    peft_token_cls(dump, backbone, ids, out)
    infonce(dump, model, weights, len(vocab))
    concept(dump, model, weights, ids)
    adamw(dump)
    gelu(dump)
    write(dump, out, backbone)


if __name__ == "__main__":
    main()
