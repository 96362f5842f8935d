"""Records seqeval's and scikit-learn's scores on random and awkward cases, as fixtures/metrics.json.

Tag cases have two scores: "strict" (seqeval mode="strict", scheme=IOB2) and "lenient" (seqeval's default, which reads
invalid tags as conlleval does). Precision, recall and F1 are micro averages over entities; 0 where undefined.
Class cases have accuracy and macro F1 over the labels that occur in gold or in predictions.
"""

import argparse
import json
import random
import warnings
from pathlib import Path

from seqeval import metrics as seqeval
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score, f1_score

# name, gold sentences, predicted sentences; one word per tag
TAG_CASES = [
    ("perfect", ["B-PER I-PER O B-LOC"], ["B-PER I-PER O B-LOC"]),
    ("nothing found", ["B-PER I-PER O"], ["O O O"]),
    ("nothing there", ["O O O"], ["B-PER O O"]),
    ("no entity on either side", ["O O", "O"], ["O O", "O"]),
    ("one sentence of one word", ["B-PER"], ["B-PER"]),
    ("right span, wrong type", ["O B-PER I-PER O"], ["O B-LOC I-LOC O"]),
    ("span too short", ["B-PER I-PER I-PER O"], ["B-PER I-PER O O"]),
    ("span too long", ["B-PER I-PER O O"], ["B-PER I-PER I-PER O"]),
    ("two neighbours of one type", ["B-PER B-PER I-PER"], ["B-PER B-PER I-PER"]),
    ("two neighbours taken for one", ["B-PER B-PER I-PER"], ["B-PER I-PER I-PER"]),
    ("one taken for two neighbours", ["B-PER I-PER I-PER"], ["B-PER I-PER B-PER"]),
    ("predicted I after O", ["O B-PER I-PER O"], ["O I-PER I-PER O"]),
    ("gold I after O", ["O I-PER I-PER O"], ["O B-PER I-PER O"]),
    ("I after O on both sides", ["O I-PER I-PER O"], ["O I-PER I-PER O"]),
    ("I at the start of a sentence", ["B-PER I-PER O"], ["I-PER I-PER O"]),
    ("I after B of another type", ["B-PER I-PER O"], ["B-LOC I-PER O"]),
    ("type switch inside", ["B-PER I-PER I-PER"], ["B-PER I-LOC I-PER"]),
    ("type switch, later part right", ["B-PER B-LOC I-LOC"], ["B-PER I-LOC I-LOC"]),
    ("I after I of another type, both invalid", ["I-PER I-LOC"], ["I-PER I-LOC"]),
    ("I after B of another type, then O, then I", ["B-PER I-LOC O I-LOC"], ["B-PER O O I-LOC"]),
    ("I right after an invalid I", ["O I-PER B-PER I-PER"], ["O I-PER I-PER I-PER"]),
    ("entity at the very end", ["O B-PER I-PER"], ["O B-PER I-PER"]),
    ("no entity runs across sentences", ["O B-PER", "I-PER O"], ["O B-PER", "I-PER O"]),
    ("end and start of sentences", ["O B-PER", "B-PER O"], ["O B-PER", "I-PER O"]),
    ("same span in two sentences", ["B-PER O", "B-PER O"], ["B-PER O", "O B-PER"]),
    ("type with a hyphen", ["B-per-son I-per-son O B-per"], ["B-per-son I-per-son O B-per-son"]),
    ("types that differ in case", ["B-Per I-Per O"], ["B-PER I-PER O"]),
    ("Unicode type", ["B-città I-città"], ["B-città I-città"]),
    ("type only in predictions", ["B-PER O O"], ["B-PER O B-GEO"]),
    ("type only in gold", ["B-PER O B-GEO"], ["B-PER O O"]),
]

# name, gold labels, predicted labels
CLASS_CASES = [
    ("perfect", "a b c a", "a b c a"),
    ("all wrong", "a b c", "b c a"),
    ("one class", "a a a", "a a a"),
    ("a single example, wrong", "a", "b"),
    ("label only in predictions", "a a b", "a c b"),
    ("label only in gold", "a b c", "a b a"),
    ("labels only in each", "a a b d", "a a c e"),
    ("majority prediction", "a a a b c", "a a a a a"),
    ("disjoint labels", "a a b", "c d d"),
    ("rare class right", "a a a a a a a b", "a a b a a a a b"),
]


def random_tags(rng: random.Random, length: int, types: list[str], valid: bool) -> list[str]:
    tags = []
    for _ in range(length):
        tag = rng.choice(["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in types)])
        if valid and tag[0] == "I" and (not tags or tags[-1][1:] != tag[1:]):
            tag = f"B{tag[1:]}"
        tags.append(tag)
    return tags


def disturbed(rng: random.Random, tags: list[str], types: list[str], rate: float) -> list[str]:
    return [random_tags(rng, 1, types, False)[0] if rng.random() < rate else tag for tag in tags]


def random_tag_cases(rng: random.Random):
    for i in range(20):
        types = ["PER", "LOC", "ORG"][: 1 + i % 3]
        valid = i % 2 == 0
        gold = [random_tags(rng, rng.randint(1, 12), types, valid) for _ in range(rng.randint(1, 8))]
        pred = [disturbed(rng, tags, types, rate=0.1 + 0.04 * i) for tags in gold]
        yield f"random {i}, gold {'valid' if valid else 'invalid'}", gold, pred


def random_class_cases(rng: random.Random):
    for i in range(10):
        labels, length = [f"label {j}" for j in range(2 + 2 * i)], rng.randint(5, 60)
        gold = [rng.choice(labels) for _ in range(length)]
        yield f"random {i}", gold, [rng.choice(labels) if rng.random() < 0.4 else label for label in gold]


def tag_case(name: str, gold: list[list[str]], pred: list[list[str]]) -> dict:
    case = {"name": name, "gold": gold, "pred": pred}
    for mode, options in (("strict", {"mode": "strict", "scheme": IOB2}), ("lenient", {})):
        case[mode] = {
            score: float(getattr(seqeval, f"{score}_score")(gold, pred, average="micro", zero_division=0, **options))
            for score in ("precision", "recall", "f1")
        }
    return case


def class_case(name: str, gold: list[str], pred: list[str]) -> dict:
    macro_f1 = float(f1_score(gold, pred, average="macro", zero_division=0))
    accuracy = float(accuracy_score(gold, pred))
    return {"name": name, "gold": gold, "pred": pred, "accuracy": accuracy, "macro_f1": macro_f1}


def lines(cases) -> str:
    """One case per line: short, and a diff shows which case changed."""
    return ",\n".join(f"    {json.dumps(case, ensure_ascii=False)}" for case in cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "fixtures" / "metrics.json")
    out = parser.parse_args().out
    warnings.filterwarnings("ignore")  # on invalid tags and undefined scores: they are what is recorded

    rng = random.Random(7)
    tags = [(name, [s.split() for s in gold], [s.split() for s in pred]) for name, gold, pred in TAG_CASES]
    classes = [(name, gold.split(), pred.split()) for name, gold, pred in CLASS_CASES]
    tag_lines = lines(tag_case(*case) for case in [*tags, *random_tag_cases(rng)])
    class_lines = lines(class_case(*case) for case in [*classes, *random_class_cases(rng)])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f'{{\n  "tags": [\n{tag_lines}\n  ],\n  "classes": [\n{class_lines}\n  ]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
