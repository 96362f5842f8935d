"""Records what PyTorch computes for InfoNCE together with the match of a teacher of text vectors: the three terms, their
weighted sum, and its gradients.

Writes fixtures/text-teacher/parity.safetensors and parity.json. Inputs are f32, the computation is f64, the results are
stored as f32 (the losses as f64): they are exact to f32 rounding. There are no tokens here: the student's and the
teacher's text vectors are random numbers, of different widths.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tiny_bert import normal, write_json

STUDENT, TEACHER = 6, 9  # widths
# Indices of texts: a repeated anchor, a text that is anchor and candidate, and hard negatives.
ANCHORS = [0, 1, 2, 0, 3]
CANDIDATES = [4, 5, 6, 7, 1, 8, 9, 6]  # five positives, then three hard negatives
FALSE_NEGATIVES = [(0, 3), (3, 0), (1, 4), (4, 2), (2, 7)]  # (anchor, candidate), not symmetric on purpose
TEXTS = 10
TEMPERATURE, MATCH_TEMPERATURE = 0.05, 0.1
SIMILARITY_WEIGHT, VECTOR_WEIGHT = 0.7, 1.5


def scores(vectors: torch.Tensor, temperature: float, excluded: torch.Tensor) -> torch.Tensor:
    """Cosines of anchors and candidates over the temperature; minus infinity for false negatives."""
    unit = F.normalize(vectors)
    return (unit[ANCHORS] @ unit[CANDIDATES].T / temperature).masked_fill(excluded, -torch.inf)  # [n, m]


def both_directions(loss, *matrices: torch.Tensor) -> torch.Tensor:
    """The mean of a loss on rows, and on the columns of positives."""
    n = len(ANCHORS)
    return 0.5 * (loss(*matrices) + loss(*(matrix[:, :n].T for matrix in matrices)))


def infonce(rows: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(rows, torch.arange(len(rows)))


def divergence(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean over rows of KL(teacher || student), by its definition; excluded elements have probability 0."""
    p, q = teacher.softmax(1), student.softmax(1)
    kept = p > 0
    ratio = (p.where(kept, 1.0) / q.where(kept, 1.0)).log()
    return (p * ratio).sum(1).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "fixtures")
    out = parser.parse_args().out / "text-teacher"

    inputs = {
        "student": normal("text_teacher.student", TEXTS, STUDENT),
        "teacher": normal("text_teacher.teacher", TEXTS, TEACHER),
        "projection": normal("text_teacher.projection", TEACHER, STUDENT, std=0.4),
    }
    student, teacher, projection = (value.double() for value in inputs.values())
    student.requires_grad_(), projection.requires_grad_()
    excluded = torch.zeros(len(ANCHORS), len(CANDIDATES), dtype=torch.bool)
    excluded[tuple(zip(*FALSE_NEGATIVES))] = True

    matched = [scores(vectors, MATCH_TEMPERATURE, excluded) for vectors in (student, teacher)]
    terms = {
        "infonce": both_directions(infonce, scores(student, TEMPERATURE, excluded)),
        "similarity": both_directions(divergence, *matched),
        "vector": (1 - F.cosine_similarity(student @ projection.T, teacher)).mean(),
    }
    loss = terms["infonce"] + SIMILARITY_WEIGHT * terms["similarity"] + VECTOR_WEIGHT * terms["vector"]
    gradients = torch.autograd.grad(loss, [student, projection])

    tensors = inputs | {"grad.student": gradients[0], "grad.projection": gradients[1]}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    tensors |= {
        "excluded": excluded.to(torch.uint8),
        "anchors": torch.tensor(ANCHORS),
        "candidates": torch.tensor(CANDIDATES),
    }
    versions = {"torch": torch.__version__.split("+")[0]}
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "parity.safetensors", metadata={"versions": json.dumps(versions)})
    settings = {
        "temperature": TEMPERATURE,
        "match_temperature": MATCH_TEMPERATURE,
        "similarity_weight": SIMILARITY_WEIGHT,
        "vector_weight": VECTOR_WEIGHT,
    }
    scalars = {name: term.item() for name, term in terms.items()} | {"loss": loss.item()}
    write_json(
        out / "parity.json", {"about": __doc__, "versions": versions, "settings": settings, "scalars": scalars}
    )


if __name__ == "__main__":
    main()
