"""Loads an adapter directory with peft and says, as JSON, whether it fits: exit status 1 if it does not.

`missing` are weights that the adapter's configuration calls for and its file lacks, `unexpected` are those in the file
that nothing asked for, `changed` are those that did not arrive in the model as they are in the file.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from peft import PeftConfig, PeftModel, get_peft_model_state_dict, load_peft_weights
from transformers import AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

MODELS = {
    None: AutoModel,
    "FEATURE_EXTRACTION": AutoModel,
    "SEQ_CLS": AutoModelForSequenceClassification,
    "TOKEN_CLS": AutoModelForTokenClassification,
}
HEADS = ("classifier.weight", "classifier.out_proj.weight", "score.weight")


def base_model(backbone: Path, task: str | None, stored: dict[str, torch.Tensor]):
    """The transformers class that the task type asks for, with as many labels as the stored head has rows."""
    if task not in MODELS:
        sys.exit(f"task_type {task} is not an encoder's: expected one of {', '.join(filter(None, MODELS))}")
    head = next((tensor for name, tensor in stored.items() if name.endswith(HEADS)), None)
    options = {} if head is None else {"num_labels": head.shape[0]}
    return MODELS[task].from_pretrained(backbone, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True, help="Hugging Face model directory")
    parser.add_argument("--adapter", type=Path, required=True, help="PEFT adapter directory")
    parser.add_argument("--text", default="The train from London to Berlin was late.")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()  # heads that the adapter brings itself are reported as missing
    transformers.logging.disable_progress_bar()

    config = PeftConfig.from_pretrained(args.adapter)
    stored = load_peft_weights(args.adapter, device="cpu")
    model = PeftModel.from_pretrained(base_model(args.backbone, config.task_type, stored), args.adapter).eval()
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)

    encoded = AutoTokenizer.from_pretrained(args.backbone)(args.text, return_tensors="pt")
    with torch.no_grad():
        output = model(**encoded, output_hidden_states=True)
    report = {
        "task_type": config.task_type,
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(loaded.items())},
        "missing": sorted(loaded.keys() - stored.keys()),
        "unexpected": sorted(stored.keys() - loaded.keys()),
        "changed": sorted(n for n in loaded.keys() & stored.keys() if not torch.equal(loaded[n], stored[n])),
        "input_ids": encoded["input_ids"][0].tolist(),
        "first_token": output.hidden_states[-1][0, 0].tolist(),
    }
    if "logits" in output:
        report["logits"] = output.logits[0].tolist()
    print(json.dumps(report, indent=2))
    sys.exit(any(report[problem] for problem in ("missing", "unexpected", "changed")))


if __name__ == "__main__":
    main()
