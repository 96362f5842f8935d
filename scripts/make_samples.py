#!/usr/bin/env python3
"""Make samples/ (the demo's data) from a folder of full data sets.

    python3 scripts/make_samples.py --data DIR [--out samples]

DIR holds downstream/<name>/{train,test}.jsonl and pretrain/{ner,pairs}/<name>.jsonl.gz; samples/README.md says
where each set comes from and what is changed here. Standard library only; the same input gives the same bytes.
"""

import argparse
import gzip
import json
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

SEED = 20251105
NGRAM = 8  # a corpus text that shares this many consecutive words with a test text is left out

# Records taken per source. What is left out, and why, is in samples/README.md.
CONCEPTS = {"wordnet_examples": 2300, "wordnet_names": 1000, "wordnet_glosses": 650, "craft": 150, "tasteset": 500}
PAIRS = {"wordnet_usage": 1550, "wordnet_gloss": 1300, "medquad": 1200, "tldr_pages": 450}
FORM_LETTER = "The Human Phenotype Ontology provides"  # opens hundreds of medquad answers and says nothing
POSITIVE_WORDS = 28  # longest positive: the demo trains on short sequences, and most of the bytes are here

# task -> how many to take: (train, test), per class for classification, in all for NER.
NER_TASKS = {"wikigold": (150, 300), "restaurant8k": (150, 400)}
CLASS_TASKS = {"banking77": (5, 5), "clinc150": (5, 3)}
LEFT_OUT_LABELS = {"oos"}  # clinc150's out-of-scope class has no meaning of its own to learn from five examples


# --- reading and writing -------------------------------------------------------------------------------------------


def read(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in rows]
    if path.suffix == ".gz":
        lines.sort()  # an eighth smaller, and their order says nothing
    data = "".join(lines).encode()
    # mtime=0: the time of writing would otherwise be part of the file.
    path.write_bytes(gzip.compress(data, 9, mtime=0) if path.suffix == ".gz" else data)
    print(f"{str(path):45} {len(rows):6} records {path.stat().st_size:8} bytes")


def shuffled(rows, name):
    """The rows in an order fixed by SEED and the name alone, so that no choice depends on an earlier one."""
    rows = list(rows)
    random.Random(f"{SEED} {name}").shuffle(rows)
    return rows


# --- texts -----------------------------------------------------------------------------------------------------------


def words(text):
    return re.findall(r"\w+", text.lower())


def text_of(row):
    return row.get("text") or " ".join(row["tokens"])


def tokenize(text):
    return re.findall(r"\d+(?:,\d{3})+|\w+(?:[-.]\w+)*|'s\b|[^\w\s]", text)


def mostly_ascii(text):
    return sum(c.isascii() for c in text) >= 0.98 * len(text)


class Guard:
    """Knows the test texts; tells whether a text repeats one of them, in full or over NGRAM words."""

    def __init__(self, rows):
        texts = [words(text_of(r)) for r in rows]
        self.full = {tuple(t) for t in texts}
        self.grams = {g for t in texts for g in self.ngrams(t)}

    @staticmethod
    def ngrams(text):
        return (tuple(text[i : i + NGRAM]) for i in range(len(text) - NGRAM + 1))

    def repeats(self, text):
        w = words(text)
        return tuple(w) in self.full or any(g in self.grams for g in self.ngrams(w))


# --- NER concepts ----------------------------------------------------------------------------------------------------


def concept_lexicon(rows, longest=3, least=3, share=0.8):
    """Phrase -> concept, for phrases that carry one concept in at least `share` of ALL their occurrences.

    Counting the occurrences without an annotation too is what keeps out words that are also verbs or adjectives.
    """
    concepts, seen = defaultdict(Counter), Counter()
    for r in rows:
        for s in r["spans"]:
            concepts[tuple(t.lower() for t in r["tokens"][s["start"] : s["end"]])][s["type"]] += 1
    for r in rows:
        t = [t.lower() for t in r["tokens"]]
        seen.update(p for n in range(1, longest + 1) for p in zip(*(t[i:] for i in range(n))) if p in concepts)
    best = {p: c.most_common(1)[0] for p, c in concepts.items() if len(p) <= longest and len("".join(p)) > 2}
    return {p: concept for p, (concept, n) in best.items() if n >= max(least, share * seen[p])}


# What the head of a WordNet definition says about the proper name that it defines. First match wins.
NAME_RULES = [
    (r"\((?:born in |c\. ?)?\d{3,4}(?:-\d{2,4})?(?: BC)?\)$", "person"),
    (r"^(?:an? |the )?(?:[\w-]+ ){0,3}?(?:city|town|seaport|port)\b", "city"),
    (r"^(?:an? |the )?(?:[\w-]+ ){0,2}?(river|lake|sea|bay|gulf|island|mountain peak|mountain|volcano|desert)\b", None),
    (r"^(?:an? |the )?(?:[\w-]+ ){0,2}?(?:republic|country|kingdom|monarchy|nation) (?:in|on|of|at|that)\b", "country"),
    (r"^a state (?:in|of) ", "American state"),
    (r"^(?:an? |the )?(?:[\w-]+ ){0,3}?(?:university|agency|organization|party|bureau|committee)\b", "organization"),
    (r"^(?:an? |the )?(?:[\w-]+ ){0,3}?(battle|war|treaty|holiday)\b", None),
]


def name_concept(gloss):
    for pattern, concept in NAME_RULES:
        if m := re.search(pattern, gloss):
            return concept or m.group(1)
    return None


def named_glosses(pairs):
    """(name, concept, definition) of the WordNet entries that define a person, place, organization or event."""
    for r in pairs:
        lemmas = [x for x in r["anchor"].split(", ") if all(w[0].isupper() or w in ("of", "the") for w in x.split())]
        concept = name_concept(r["positive"])
        if lemmas and concept and "genus" not in r["positive"]:
            yield lemmas, concept, r["positive"]


def nationalities(pairs):
    """`French` and the like: the adjectives that WordNet defines by a people."""
    about = re.compile(r"^of or (?:relating|pertaining) to .*\b(?:people|inhabitants|natives|residents|language)\b")
    lemmas = (x for r in pairs if about.match(r["positive"]) for x in r["anchor"].split(", "))
    return {tuple(tokenize(x)): "nationality" for x in lemmas if x[0].isupper()}


def year(token):
    """Concept of a four-digit year, or of the two that a life spans; else None."""
    if re.fullmatch(r"1\d{3}|20\d{2}", token):
        return "year"
    return "time period" if re.fullmatch(r"1\d{3}-(?:1\d{3}|20\d{2})", token) else None


def annotate(tokens, lexicon, names, gold=()):
    """`gold` spans, plus the longest lexicon or name matches that do not touch them, from left to right."""
    taken = {i for s in gold for i in range(s["start"], s["end"])}
    spans, i = list(gold), 0
    while i < len(tokens):
        for n in (5, 4, 3, 2, 1):
            phrase = tuple(tokens[i : i + n])
            concept = names.get(phrase) or lexicon.get(tuple(t.lower() for t in phrase)) or (n == 1 and year(phrase[0]))
            if len(phrase) == n and concept and taken.isdisjoint(range(i, i + n)):
                spans.append({"start": i, "end": i + n, "type": concept})
                i += n
                break
        else:
            i += 1
    return {"tokens": tokens, "spans": sorted(spans, key=lambda s: s["start"])}


def appositive(lemmas, concept, gloss, lexicon, names):
    """`Name, definition`: a sentence in which the name stands where names stand in running text."""
    name = tokenize(max(lemmas, key=len))
    gold = [{"start": 0, "end": len(name), "type": concept}]
    return annotate(name + [","] + tokenize(gloss), lexicon, names, gold)


def spans_of_tags(row, type_names):
    """BIO2 tags -> spans."""
    spans = []
    for i, tag in enumerate(row["tags"]):
        if tag.startswith("B-"):
            spans.append({"start": i, "end": i + 1, "type": type_names(tag[2:])})
        elif tag.startswith("I-"):
            spans[-1]["end"] = i + 1
    return {"tokens": row["tokens"], "spans": spans}


def is_craft(row):
    """CRAFT alone uses the first four types; the other corpora in that file have terms less clear than CC-BY."""
    own = {"sequence feature", "organism taxon", "chemical entity", "cell type"}
    types = {s["type"] for s in row["spans"]}
    return bool(types & own) and types <= own | {"gene or gene product", "cellular component"}


def concept_candidates(data):
    """Source -> candidate sentences, best first where there is a choice."""
    ner, pairs = data / "pretrain/ner", data / "pretrain/pairs"
    # SemCor gives word -> concept, which are facts, and none of its sentences: the terms of its texts are unclear.
    lexicon = concept_lexicon(read(ner / "semcor_concepts.jsonl.gz"))
    glosses = shuffled(read(pairs / "wordnet_gloss.jsonl.gz"), "glosses")
    named = list(named_glosses(glosses))
    # A person's last name alone is too often another word; a place name is not.
    names = {tuple(tokenize(x)): c for lemmas, c, _ in named for x in lemmas if c != "person" or " " in x}
    names |= nationalities(glosses)
    named_texts = {g for _, _, g in named}
    plain = [r["positive"] for r in glosses if r["positive"] not in named_texts]
    examples = [annotate(r["tokens"], lexicon, names, r["spans"]) for r in read(ner / "wordnet_examples.jsonl.gz")]
    return {
        "wordnet_examples": sorted(shuffled(examples, "examples"), key=lambda r: -min(len(r["spans"]), 2)),
        "wordnet_names": [appositive(*n, lexicon, names) for n in named],
        "wordnet_glosses": [annotate(tokenize(text), lexicon, names) for text in plain],
        "craft": filter(is_craft, shuffled(read(ner / "bio_mixed.jsonl.gz"), "craft")),
        "tasteset": [
            spans_of_tags(r, lambda t: t.lower().replace("_", " "))
            for r in shuffled(read(data / "downstream/tasteset/train.jsonl"), "tasteset")
        ],
    }


def make_concepts(data, guard):
    rows, seen = [], set()
    for source, candidates in concept_candidates(data).items():
        least = 1 if source == "wordnet_examples" else 2
        kept = []
        for r in candidates:
            text = " ".join(r["tokens"])
            key = tuple(words(text))
            ok = 5 <= len(r["tokens"]) <= 45 and len(r["spans"]) >= least and mostly_ascii(text)
            if ok and key not in seen and not guard.repeats(text) and len(kept) < CONCEPTS[source]:
                seen.add(key)
                kept.append(r)
        print(f"  concepts from {source}: {len(kept)}")
        rows += kept
    return rows


# --- text pairs ------------------------------------------------------------------------------------------------------


def trimmed(text):
    """At most POSITIVE_WORDS words, ending where a sentence or an item of a list ends in the second half."""
    cut = text.split()[:POSITIVE_WORDS]
    ends = [i + 1 for i, w in enumerate(cut) if w.endswith((".", "?", "!", ";")) and i + 1 > POSITIVE_WORDS // 2]
    whole = len(cut) == len(text.split())
    return " ".join(cut if whole or not ends else cut[: ends[-1]]).rstrip(";")


def make_pairs(data, guard):
    rows, seen = [], set()
    for source, count in PAIRS.items():
        kept = []
        for r in shuffled(read(data / f"pretrain/pairs/{source}.jsonl.gz"), source):
            anchor, positive = r["anchor"], trimmed(r["positive"])
            # Two positives that begin alike (form letters of one web site) would be false negatives of each other.
            keys = {tuple(words(anchor)), tuple(words(positive)[:NGRAM])}
            ok = len(words(positive)) >= 3 and len(anchor.split()) <= POSITIVE_WORDS and mostly_ascii(anchor + positive)
            ok = ok and FORM_LETTER not in positive and not guard.repeats(anchor) and not guard.repeats(positive)
            if ok and seen.isdisjoint(keys) and len(kept) < count:
                seen |= keys
                kept.append({"anchor": anchor, "positive": positive, "source": source})
        print(f"  pairs from {source}: {len(kept)}")
        rows += kept
    return rows


# --- tasks -----------------------------------------------------------------------------------------------------------


def unique(rows, taken):
    """The rows whose text is not in `taken` (nor earlier among themselves); adds them to it."""
    for r in rows:
        key = tuple(words(text_of(r)))
        if key not in taken:
            taken.add(key)
            yield r


def sample_ner(rows, count, name):
    """`count` sentences, of which as large a share has an entity as in the whole set."""
    rows = shuffled(rows, name)
    with_entity = [r for r in rows if any(t != "O" for t in r["tags"])]
    without = [r for r in rows if all(t == "O" for t in r["tags"])]
    n = round(count * len(with_entity) / len(rows))
    return shuffled(with_entity[:n] + without[: count - n], name)


def sample_classes(rows, per_class, name):
    by_label = defaultdict(list)
    for r in shuffled(rows, name):
        if r["label"] not in LEFT_OUT_LABELS:
            by_label[r["label"]].append(r)
    return shuffled([r for label in sorted(by_label) for r in by_label[label][:per_class]], name)


def labels_of(rows):
    return {r["label"] for r in rows} if "label" in rows[0] else {t[2:] for r in rows for t in r["tags"] if t != "O"}


def make_task(data, name, sample, counts):
    full = {split: read(data / f"downstream/{name}/{split}.jsonl") for split in ("train", "test")}
    taken = set()  # test first: a text in both splits stays a test text
    test = sample(unique(full["test"], taken), counts[1], f"{name} test")
    train = sample(unique(full["train"], taken), counts[0], f"{name} train")
    missing = labels_of(full["train"]) - LEFT_OUT_LABELS - labels_of(train)
    if missing:
        raise SystemExit(f"{name}: no training example of {sorted(missing)}: take more, or change SEED")
    return train, test


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=Path, required=True, help="folder of data sets")
    args.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "samples", help="where to write")
    args = args.parse_args()

    tests = []
    for tasks, sample in ((NER_TASKS, sample_ner), (CLASS_TASKS, sample_classes)):
        for name, counts in tasks.items():
            train, test = make_task(args.data, name, sample, counts)
            write(args.out / f"tasks/{name}/train.jsonl", train)
            write(args.out / f"tasks/{name}/test.jsonl.gz", test)
            tests += read(args.data / f"downstream/{name}/test.jsonl")
    guard = Guard(tests)  # against the WHOLE test sets, not only the sample
    write(args.out / "corpora/concepts.jsonl.gz", make_concepts(args.data, guard))
    write(args.out / "corpora/pairs.jsonl.gz", make_pairs(args.data, guard))


if __name__ == "__main__":
    main()
