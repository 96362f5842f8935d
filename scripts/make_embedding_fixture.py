"""Records sentence-transformers' embeddings of 100 varied and awkward sentences.

Writes fixtures/minilm/sentences.json (a list of strings) and fixtures/minilm/embeddings.safetensors (`embeddings`,
[100, H] f32, in the same order). Weights are f32, the computation is f64, one sentence at a time and so unpadded: the
figures are exact to f32 rounding and the same on every machine.
"""

import argparse
import json
from pathlib import Path

import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

PLAIN = [
    "The quick brown fox jumps over the lazy dog.",
    "Book me a table for two at an Italian restaurant tomorrow night.",
    "What is the capital of Australia?",
    "I absolutely loved this film; the acting was superb.",
    "The plot was dull, and I left before the end.",
    "My card was charged twice for the same purchase.",
    "Play some jazz in the kitchen",
    "Mutations in the BRCA1 gene raise the risk of breast cancer.",
    "Who wrote the opera The Magic Flute?",
    "Shares of the company fell 4.5% after the announcement.",
    'He said, "I\'ll be there by six," and hung up.',
    "It isn't what you'd've expected, is it?",
    "A man is playing a guitar on the street.",
    "Someone plays an instrument outdoors.",
    "Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.",
    "Antidisestablishmentarianism and pneumonoultramicroscopicsilicovolcanoconiosis are long words.",
    "no",
    "a",
    "Z",
    "the the the the the the the the",
]
CASE_AND_NUMBERS = [
    "STOP SHOUTING AT ME",
    "stop shouting at me",
    "iPhone, eBay, LaTeX and McDonald's",
    "tHiS iS sArCaStIc TeXt",
    "1234567890",
    "3.14159 and 2,718,281.828",
    "Call +44 (0)20 7946 0958 before 17:30 on 2024-02-29.",
    "$1,000.00 = €920 = ¥150,000 = £790",
    "1e-10, 0xDEADBEEF, 1/2, 50%, #42",
    "٣٫١٤ and १२३ and ４５６",
    "x² + y₂ = ½ · ⅓ ≈ ∞",
    "Ⅳ ① ㈱ ™ ℃",
]
LATIN = [
    "Café au lait, crème brûlée et garçon naïf",
    "Cafe\u0301 au lait, cre\u0300me bru\u0302le\u0301e",
    "Größe, Straße, Übermut und Ärger",
    "El niño comió piña en España. ¿Verdad? ¡Sí!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Zażółć gęślą jaźń",
    "İstanbul'da ılık bir gün, IĞDIR ve ığdır",
    "Tiếng Việt có nhiều dấu thanh phức tạp",
    "Ænigma, œuvre, þorn, ðat, łódź, đak, ßharp",
    "ﬁnd the ﬂow of oﬃce ligatures",
    "Ｆｕｌｌｗｉｄｔｈ　ｌｅｔｔｅｒｓ",
    "𝓯𝓪𝓷𝓬𝔂 and 𝐛𝐨𝐥𝐝 mathematical letters",
    "Z\u0351\u036b\u0343a\u0329\u0353l\u0334g\u0321o\u0322 te\u0335xt",
]
SCRIPTS = [
    "北京是中国的首都。",
    "東京タワーは赤い。",
    "ひらがなとカタカナと漢字",
    "ﾊﾝｶｸ ｶﾀｶﾅ",
    "か\u3099と が は同じ",
    "안녕하세요, 세계",
    "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "我爱machine learning和AI",
    "مرحبا بالعالم",
    "السَّلَامُ عَلَيْكُمْ",
    "שלום עולם",
    "שָׁלוֹם",
    "Привет, мир! Ёжик и йод",
    "Ελληνικά: Σίσυφος, ΟΔΥΣΣΕΥΣ",
    "नमस्ते दुनिया",
    "ক্ষমা করবেন",
    "வணக்கம் உலகம்",
    "สวัสดีชาวโลก",
    "ສະບາຍດີ",
    "Բարեւ աշխարհ",
    "გამარჯობა მსოფლიო",
    "ሰላም ልዑል",
    "𠀀𠀁 rare ideographs 𪜶",
    "ᚠᚢᚦᚨᚱᚲ and 𐌰𐌱𐌲",
]
EMOJI = [
    "I love pizza 🍕🍕🍕",
    "👍",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👋🏽 wave",
    "🇫🇷🇩🇪🇯🇵",
    "ok 😂😂😂 lol ¯\\_(ツ)_/¯",
    "❤ versus ❤️",
]
WEB_AND_MARKS = [
    "See https://example.com/a/b?q=1&r=two%20words#top for details",
    "mail jane.doe+tag@sub.example.org, cc @john_smith #NLProc",
    "C:\\Users\\me\\file.txt and /usr/local/bin",
    '<p class="x">Hello &amp; <b>bye</b></p>',
    "for (int i = 0; i < n; i++) { a[i] += b[i]; }",
    "!!!???...,,,;;;:::---___***",
    "“smart” ‘quotes’ – en — em … ellipsis • bullet",
    "[CLS] what [MASK] if [SEP] specials [PAD] occur [UNK]",
    "[cls] ##ing ##s [unused1]",
]
CONTROLS = [
    "",
    " ",
    " \t\n\r ",
    "tab\tseparated\tvalues\nand\r\nlines",
    "null\u0000byte and bell\u0007 and escape\u001b[31m",
    "zero\u200bwidth, soft\u00adhyphen, word\u2060joiner, \ufeffbom",
    "no\u00a0break, thin\u2009space, ideographic\u3000space, line\u2028separator",
    "right\u202eto left\u202c override",
    "replacement \ufffd character, private \ue000 use, noncharacter \uffff",
    "\u0301 leading combining mark",
]
LONG = [
    "a" * 100,
    "a" * 101,
    "supercalifragilistic" * 20,
    "The committee met again on Tuesday to discuss the budget, and nothing was decided. " * 20,
    " ".join(str(n) for n in range(1, 300)),
    "深度学习" * 80,
]
SENTENCES = PLAIN + CASE_AND_NUMBERS + LATIN + SCRIPTS + EMOJI + WEB_AND_MARKS + CONTROLS + LONG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="hub id or directory")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "fixtures" / "minilm")
    args = parser.parse_args()

    assert len(SENTENCES) == 100, len(SENTENCES)
    model = SentenceTransformer(args.model, device="cpu").double()
    embeddings = model.encode(SENTENCES, batch_size=1, convert_to_tensor=True).float()
    tokens = [len(model.tokenizer(sentence)["input_ids"]) for sentence in SENTENCES]

    libraries = (sentence_transformers, transformers, tokenizers, torch)
    versions = {library.__name__: library.__version__.split("+")[0] for library in libraries}
    made_by = {"model": "sentence-transformers/all-MiniLM-L6-v2", "max_seq_length": model.max_seq_length, **versions}
    args.out.mkdir(parents=True, exist_ok=True)
    # one entry, because safetensors writes several in an order that changes from run to run
    save_file(
        {"embeddings": embeddings}, args.out / "embeddings.safetensors", metadata={"made_by": json.dumps(made_by)}
    )
    text = json.dumps(SENTENCES, indent=0, ensure_ascii=True)  # escapes keep combining marks and controls visible
    (args.out / "sentences.json").write_text(text + "\n", encoding="utf-8")
    cut = sum(length > model.max_seq_length for length in tokens)
    print(f"{len(SENTENCES)} sentences, {cut} longer than {model.max_seq_length} tokens, {tuple(embeddings.shape)}")


if __name__ == "__main__":
    main()
