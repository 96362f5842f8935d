"""Tiny random models of BERT's kin, with tokenizers of the kind that each of them has: see tiny_bert.py for BERT itself."""

from dataclasses import dataclass
from pathlib import Path

import transformers
from tiny_bert import PIECES, WORDS, randomise, write_json
from tiny_bert import tokenizer as bert_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789")
SIZES = {"vocab_size": 0, "max_position_embeddings": 36}
BERT_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]  # in the order of RoBERTa's ids


@dataclass
class Kin:
    """An architecture: its classes in transformers, its config.json, its tokenizer and special tokens."""

    name: str
    encoder: type
    token_classifier: type
    config: transformers.PreTrainedConfig
    tokenizer: Tokenizer
    tokenizer_class: str
    first: str  # the token before every text
    last: str
    targets: list[str]  # the modules that an adapter goes on: all of a layer

    @property
    def ends(self) -> tuple[int, int]:
        return self.tokenizer.token_to_id(self.first), self.tokenizer.token_to_id(self.last)

    def write(self, directory: Path) -> None:
        options = {} if self.name == "distilbert" else {"add_pooling_layer": False}
        model = self.encoder(self.config, **options)
        randomise(model, f"tiny-{self.name}")
        model.save_pretrained(directory)
        self.tokenizer.save(str(directory / "tokenizer.json"))
        settings = {"tokenizer_class": self.tokenizer_class, "cls_token": self.first, "sep_token": self.last}
        write_json(directory / "tokenizer_config.json", settings)


def small_vocabulary(specials: list[str]) -> list[str]:
    return list(dict.fromkeys(specials + list(".,!'") + LETTERS + [f"##{c}" for c in LETTERS] + WORDS[:20] + PIECES[:5]))


def wordpiece(vocab: list[str]) -> Tokenizer:
    ids = {token: i for i, token in enumerate(vocab)}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##")
    return made


def distilbert() -> Kin:
    made = bert_tokenizer(small_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    sizes = SIZES | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 40, "vocab_size": made.get_vocab_size()}
    return Kin(
        "distilbert",
        transformers.DistilBertModel,
        transformers.DistilBertForTokenClassification,
        transformers.DistilBertConfig(**sizes),
        made,
        "DistilBertTokenizer",
        "[CLS]",
        "[SEP]",
        ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    )


def roberta() -> Kin:
    """Byte-level BPE; as in roberta-base, a text begins without a space and the offsets leave spaces out."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = [AddedToken(token, special=True) for token in SPECIALS]
    specials.append(AddedToken("<mask>", lstrip=True, special=True))
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + 45, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([" ".join(WORDS)] * 2, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    sizes = SIZES | BERT_SIZES | {"vocab_size": made.get_vocab_size(), "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return Kin(
        "roberta",
        transformers.RobertaModel,
        transformers.RobertaForTokenClassification,
        transformers.RobertaConfig(**sizes),
        made,
        "RobertaTokenizer",
        "<s>",
        "</s>",
        ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"],
    )


def mpnet() -> Kin:
    """WordPiece with RoBERTa's special tokens, each matched as in all-mpnet-base-v2."""
    made = wordpiece([*small_vocabulary([*SPECIALS, "[UNK]"]), "<mask>"])
    plain = [AddedToken(token, special=True, normalized=token == "<unk>") for token in [*SPECIALS, "[UNK]"]]
    made.add_special_tokens([*plain, AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    sizes = SIZES | BERT_SIZES | {"vocab_size": made.get_vocab_size(), "layer_norm_eps": 1e-5}
    return Kin(
        "mpnet",
        transformers.MPNetModel,
        transformers.MPNetForTokenClassification,
        transformers.MPNetConfig(**sizes),
        made,
        "MPNetTokenizer",
        "<s>",
        "</s>",
        ["attn.q", "attn.k", "attn.v", "attn.o", "intermediate.dense", "output.dense"],
    )


KIN = [distilbert, roberta, mpnet]
