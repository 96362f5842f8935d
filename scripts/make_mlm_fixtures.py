"""Records what transformers computes in masked language modelling on tiny models: scores, a loss and every gradient.

Writes fixtures/mlm/NAME/ for BERT and each of its kin: `model/`, a directory as `save_pretrained` of the class for masked language
modelling leaves it, with a tokenizer; `parity.safetensors` and `parity.json`, the numbers: of the kin, scores and loss alone.
They are read as those of make_parity_fixtures.py are.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from make_parity_fixtures import Dump
from safetensors.torch import save_file
from tiny_bert import encode, integers, load, normal, randomise, tokenizer, vocabulary, write_json
from tiny_kin import distilbert, mpnet, roberta
from transformers import BertConfig, BertForMaskedLM

LENGTHS = [7, 1, 12, 5, 9]
IGNORED = -100


def bert():
    made = tokenizer(vocabulary())
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = BertConfig(vocab_size=made.get_vocab_size(), max_position_embeddings=32, **sizes)
    return "bert", BertForMaskedLM, config, made, "[MASK]"


def kin(make, mask: str):
    made = make()
    names = {"distilbert": "DistilBert", "roberta": "Roberta", "mpnet": "MPNet"}
    return made.name, getattr(transformers, f"{names[made.name]}ForMaskedLM"), made.config, made.tokenizer, mask


def masked_batch(name: str, vocab: int, mask: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Concatenated ids [T] with hidden tokens, and labels [T]: what stood there, or -100."""
    ids = torch.cat([integers(f"mlm.{name}.{i}", 5, vocab, length) for i, length in enumerate(LENGTHS)])
    labels = torch.full_like(ids, IGNORED)
    for at in range(2, len(ids), 5):
        labels[at] = ids[at]
        ids[at] = mask if at % 4 else ids[at]  # some stay as they are
    return ids, labels


def random_biases(name: str, model) -> None:
    """transformers' class has the scores' bias as a parameter of its own."""
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.ndim == 1 and len(weight) == model.config.vocab_size:
                weight.copy_(normal(f"mlm.{name}.{key}", len(weight), std=0.5))


def make(name, kind, config, made, mask, out: Path) -> None:
    directory = out / name / "model"
    model = kind(config)
    randomise(model, f"tiny-mlm-{name}")
    random_biases(name, model)
    model.tie_weights()
    model.save_pretrained(directory)
    made.save(str(directory / "tokenizer.json"))

    model = load(kind, directory).double()
    ids, labels = masked_batch(name, config.vocab_size, made.token_to_id(mask))
    dump = Dump()
    dump.put("input_ids", ids)
    dump.put("lengths", torch.tensor(LENGTHS))
    dump.put("labels", labels)
    output, real = encode(model, ids, LENGTHS)
    scores = output.logits[real][labels != IGNORED]
    dump.put("scores", scores)
    loss = F.cross_entropy(scores, labels[labels != IGNORED])
    dump.scalars["mlm.loss"] = loss.item()
    if name == "bert":
        weights = {key.removeprefix("bert."): weight for key, weight in model.named_parameters()}
        dump.grads("mlm", loss, weights)
    save_file(dump.tensors, out / name / "parity.safetensors")
    write_json(out / name / "parity.json", {"scalars": dump.scalars})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "fixtures" / "mlm")
    out = parser.parse_args().out
    masks = [(distilbert, "[MASK]"), (roberta, "<mask>"), (mpnet, "<mask>")]
    for one in [bert(), *(kin(make_kin, mask) for make_kin, mask in masks)]:
        make(*one, out)


if __name__ == "__main__":
    main()
