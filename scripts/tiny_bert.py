"""A tiny random BERT with a real WordPiece vocabulary, in the layout of Hugging Face and sentence-transformers, and
how to run ragged batches through it.

The weights are large enough that nothing is trivially zero or one: every bias, every LayerNorm gain and every
embedding row takes part in the numbers that the fixtures record.
"""

import json
import string
import zlib
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PUNCTUATION = list(".,;:!?'\"()-/@#&%")
WORDS = """the a an of in on to and is was at for with from by not this that it i you we they he she his her
london paris berlin river city train station doctor music play book flight cheap hotel near weather john smith
monday july great bad love good time new york water run light open bank team game price film food heart"""
WORDS = WORDS.split() + list("東京é")
PIECES = "##s ##ed ##ing ##er ##ly ##est ##ion ##al ##ton ##ville ##berg ##land ##ness ##able ##re ##ner ##京".split()
SPECIAL_IDS = range(len(SPECIALS))
MAX_SEQ_LENGTH = 48
TEXTS = [
    "The cheap hotel near the station was great!",
    "Trains to LONDON, Paris and Berlin: 42% unavailable?",
    "Café in Zürich — naïve résumé",
    "runs\tran\u00a0running\u200b  played\u0000\ufffd unlightable",
    "東京タワー hotel 🙂 new-york@city.com",
    "e\u0301te\u0301 İstanbul straße ﬁre",
    "",
    "   ",
    "a" * 101 + " " + "b" * 100,
    "[CLS] not [MASK] [sep] [PAD]",
]


def normal(name: str, *shape: int, std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Normal f32 numbers seeded by their own name, so that adding one tensor leaves all the others as they were."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return mean + std * torch.randn(*shape, generator=generator)


def integers(name: str, low: int, high: int, *shape: int) -> torch.Tensor:
    """Whole numbers in [low, high), i64, seeded by their own name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randint(low, high, shape, generator=generator)


def vocabulary() -> list[str]:
    alphabet = list(string.ascii_lowercase + string.digits)
    return list(dict.fromkeys(SPECIALS + PUNCTUATION + alphabet + [f"##{c}" for c in alphabet] + WORDS + PIECES))


def tokenizer(vocab: list[str]) -> Tokenizer:
    ids = {token: i for i, token in enumerate(vocab)}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    made.add_special_tokens(SPECIALS)
    return made


def randomise(model: torch.nn.Module, of: str = "tiny-bert") -> None:
    """Overwrites every weight of `model` by numbers that depend only on the weight's name."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            gain = name.endswith(("LayerNorm.weight", "layer_norm.weight"))
            std = 0.3 if "embeddings.weight" in name else 0.1 if name.endswith("dense.bias") else 0.2
            weight.copy_(normal(f"{of}.{name}", *weight.shape, std=std, mean=1.0 if gain else 0.0))


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_tiny_bert(directory: Path) -> None:
    vocab = vocabulary()
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model = BertModel(config, add_pooling_layer=False)
    randomise(model)
    model.save_pretrained(directory)

    (directory / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    tokenizer(vocab).save(str(directory / "tokenizer.json"))
    named = {f"{token[1:-1].lower()}_token": token for token in SPECIALS}
    limit = config.max_position_embeddings
    settings = {"do_lower_case": True, "model_max_length": limit, "tokenizer_class": "BertTokenizer", **named}
    write_json(directory / "tokenizer_config.json", settings)

    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    write_json(
        directory / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(modules)
        ],
    )
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": MAX_SEQ_LENGTH, "do_lower_case": False})
    modes = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    pooling = {"word_embedding_dimension": config.hidden_size}
    write_json(
        directory / "1_Pooling" / "config.json", pooling | {f"pooling_mode_{mode}": on for mode, on in modes.items()}
    )


def load(kind, directory: Path, **options):
    # eager: the attention written out, not a fused kernel
    model = kind.from_pretrained(directory, attn_implementation="eager", dtype=torch.float32, **options).eval()
    model.name_or_path = directory.name  # what peft records as the base model: no path of this machine
    return model


def tokenization(directory: Path) -> list[dict]:
    """What the tokenizers library makes of awkward text. Offsets count characters, not bytes."""
    made = Tokenizer.from_file(str(directory / "tokenizer.json"))
    encoded = [made.encode(text) for text in TEXTS]
    return [{"text": text, "ids": e.ids, "offsets": e.offsets} for text, e in zip(TEXTS, encoded, strict=True)]


def random_batch(name: str, lengths: list[int], vocab: int) -> torch.Tensor:
    """Concatenated ids [T]: [CLS] first, [SEP] last where there is room, anything but specials between."""
    ids = [integers(f"{name}.{i}", len(SPECIAL_IDS), vocab, length) for i, length in enumerate(lengths)]
    for sequence in ids:
        sequence[-1] = SPECIALS.index("[SEP]")
        sequence[0] = SPECIALS.index("[CLS]")
    return torch.cat(ids)


def encode(model, ids: torch.Tensor, lengths: list[int]):
    """Runs a ragged batch padded. Returns the model's output and the mask of real tokens [B, S]."""
    padding = model.config.pad_token_id
    padded = torch.nn.utils.rnn.pad_sequence(ids.split(lengths), batch_first=True, padding_value=padding)
    mask = torch.arange(padded.shape[1]) < torch.tensor(lengths)[:, None]
    return model(input_ids=padded, attention_mask=mask.long(), output_hidden_states=True), mask


def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask[..., None].double()  # [B, S, 1]
    return (hidden * weights).sum(1) / weights.sum(1)  # [B, H]
