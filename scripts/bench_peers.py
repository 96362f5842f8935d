"""What `espalier bench` measures, done by PyTorch (with peft for `finetune`) and by ONNX Runtime: one JSON line per measurement.

    python scripts/bench_peers.py torch train|finetune|infer [--precision f32|bf16] [--batch 32] [--seq 64 | --lengths FILE] [--freeze-embeddings]
    python scripts/bench_peers.py ort infer [--precision f32|int8] [--batch 1] [--seq 16]

The model is a random BERT of MiniLM's shape. With --lengths (one length in tokens per line) batches are padded to their longest sequence and
masked. PyTorch is at its best with --attention eager and, in the environment, MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000.
bench_peers_runtime.py does the same for `espalier bench runtime`.
"""
import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

LAYERS, WIDTH, HEADS, INNER, VOCABULARY, CLASSES = 6, 384, 12, 1536, 30522, 10


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["torch", "ort"])
    parser.add_argument("work", choices=["train", "finetune", "infer"])
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16", "int8"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seq", type=int, default=64)
    parser.add_argument("--lengths")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attention", default="eager", choices=["eager", "sdpa"])
    parser.add_argument("--freeze-embeddings", action="store_true")
    parser.add_argument("--steps", type=int, default=15)
    return parser.parse_args()


def batches(args):
    """Pairs of ids and mask, taken in turns."""
    lengths = [args.seq] * args.batch
    if args.lengths:
        lengths = [int(line) for line in Path(args.lengths).read_text().split()]
    made = []
    for start in range(0, len(lengths), args.batch):
        some = torch.tensor(lengths[start : start + args.batch])
        mask = (torch.arange(int(some.max()))[None, :] < some[:, None]).long()
        made.append((torch.randint(0, VOCABULARY, mask.shape) * mask, mask))
    return made


def encoder(args):
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation=args.attention,
    )
    return BertModel(config, add_pooling_layer=False)


def pooled(model, ids, mask):
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def torch_work(args):
    model, head = encoder(args), torch.nn.Linear(WIDTH, CLASSES)
    inputs, bf16 = batches(args), args.precision == "bf16"
    if args.work == "infer":
        model = model.eval().to(torch.bfloat16 if bf16 else torch.float32)

        def run(step):
            with torch.inference_mode():
                pooled(model, *inputs[step % len(inputs)])

        return run
    if args.work == "finetune":
        from peft import LoraConfig, get_peft_model

        modules = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
        last = [LAYERS - 2, LAYERS - 1]
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, layers_to_transform=last, layers_pattern="layer", target_modules=modules))
    elif args.freeze_embeddings:
        model.embeddings.requires_grad_(False)
    trained = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)

    def run(step):
        ids, mask = inputs[step % len(inputs)]
        labels = torch.zeros(len(ids), dtype=torch.long)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            scores = head(pooled(model, ids, mask))
        torch.nn.functional.cross_entropy(scores.float(), labels).backward()
        optimizer.step()

    return run


def ort_work(args):
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder(args)

        def forward(self, input_ids, attention_mask):
            return pooled(self.encoder, input_ids, attention_mask)

    folder = tempfile.mkdtemp()
    path, names = os.path.join(folder, "f32.onnx"), ["input_ids", "attention_mask"]
    example = torch.ones(2, 16, dtype=torch.long)
    torch.onnx.export(
        Pooled().eval(), (example, example), path, input_names=names, output_names=["pooled"], opset_version=17, dynamo=False,
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names},
    )
    if args.precision == "int8":
        quantize_dynamic(path, path + ".int8", weight_type=QuantType.QInt8)
        path += ".int8"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [dict(zip(names, (ids.numpy(), mask.numpy()))) for ids, mask in batches(args)]
    return lambda step: session.run(None, inputs[step % len(inputs)])


def main():
    args = parse()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    run = torch_work(args) if args.peer == "torch" else ort_work(args)
    for step in range(3):
        run(step)
    times = []
    for step in range(args.steps):
        start = time.perf_counter()
        run(3 + step)
        times.append((time.perf_counter() - start) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times), "peak_memory_mib": peak}
    print(json.dumps({**vars(args), **{name: round(value, 3) for name, value in figures.items()}}))


main()
