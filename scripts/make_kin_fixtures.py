"""Records what transformers and peft compute on tiny models of BERT's kin: hidden states, a loss and every gradient.

Writes fixtures/kin/NAME/ for each architecture: `model/`, a model directory; `adapter/`, a token classifier as peft saves it;
`parity.safetensors` and `parity.json`, the numbers. They are read as those of make_parity_fixtures.py are.
"""

import argparse
import json
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F
from make_parity_fixtures import Dump, hf_name, hidden_states, save_adapter, set_lora
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from tiny_bert import TEXTS, encode, integers, load, normal
from tiny_kin import KIN, Kin

LENGTHS = [7, 1, 30, 5, 12]  # the longest meets buckets of several distances
TAGS = 3
WORD_LISTS = [["The", "hotel", "in", "Z\u00fcrich,", "was", "great!"], ["", " a", "\u6771\u4eac", "it's"]]
TEXTS = [*TEXTS, " two  spaces\nand a line ", "it's <mask>, <mask> and <s> the<UNK>ing", "\U0001f642\u00e9"]


def random_batch(kin: Kin) -> torch.Tensor:
    """Concatenated ids [T]; none of the padding token, which has no position in RoBERTa."""
    vocab = kin.tokenizer.get_vocab_size()
    ids = [integers(f"{kin.name}.{i}", 5, vocab, length) for i, length in enumerate(LENGTHS)]
    for sequence in ids:
        sequence[-1], sequence[0] = kin.ends[1], kin.ends[0]
    return torch.cat(ids)


def classifier(kin: Kin, directory: Path):
    """The token classifier with a low-rank update of every module of its last layer."""
    base = load(kin.token_classifier, directory, num_labels=TAGS)
    with torch.no_grad():
        for name, weight in base.classifier.named_parameters():
            weight.copy_(normal(f"{kin.name}.classifier.{name}", *weight.shape, std=0.3))
    config = LoraConfig(task_type="TOKEN_CLS", r=2, lora_alpha=4, target_modules=kin.targets, layers_to_transform=[1])
    model = get_peft_model(base, config).eval()
    set_lora(model, std=0.3)
    return model


def bare_name(kin: Kin, name: str) -> str:
    name = hf_name(name).removeprefix(f"{kin.name}.")
    return name.replace("classifier.modules_to_save", "head")


def token(dump: Dump, kin: Kin, model, ids: torch.Tensor) -> None:
    labels = torch.arange(len(ids)) % (TAGS + 1)
    labels[labels == TAGS] = -100
    dump.put("token.labels", labels)
    model.double().requires_grad_()
    weights = {bare_name(kin, name): weight for name, weight in model.named_parameters() if "original_module" not in name}
    output, mask = encode(model, ids, LENGTHS)
    logits = output.logits[mask]
    dump.put("token.logits", logits)
    dump.grads("token", F.cross_entropy(logits, labels, ignore_index=-100), weights)


def encoding(e: tokenizers.Encoding) -> dict:
    return {"ids": e.ids, "offsets": e.offsets, "words": e.word_ids}


def tokenization(directory: Path) -> dict:
    """What the tokenizers library makes of texts, and of words as transformers gives them to it: a space before each."""
    made = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    texts = [{"text": text} | encoding(made.encode(text)) for text in TEXTS]
    if isinstance(made.pre_tokenizer, tokenizers.pre_tokenizers.ByteLevel):
        made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    words = [{"words_given": words} | encoding(made.encode(words, is_pretokenized=True)) for words in WORD_LISTS]
    return {"texts": texts, "words": words}


def make(kin: Kin, out: Path) -> None:
    directory = out / "model"
    kin.write(directory)
    dump, ids = Dump(), random_batch(kin)
    dump.put("input_ids", ids)
    dump.put("lengths", torch.tensor(LENGTHS))
    hidden_states(dump, load(kin.encoder, directory).double(), ids, LENGTHS)
    model = classifier(kin, directory)
    save_adapter(model, out / "adapter")
    token(dump, kin, model, ids)
    save_file(dump.tensors, out / "parity.safetensors")
    described = {"scalars": dump.scalars, "tokenization": tokenization(directory)}
    (out / "parity.json").write_text(json.dumps(described) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "fixtures" / "kin")
    out = parser.parse_args().out
    for kin in KIN:
        made = kin()
        make(made, out / made.name)


if __name__ == "__main__":
    main()
