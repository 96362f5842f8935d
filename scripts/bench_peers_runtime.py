"""What `espalier bench runtime` measures, done by ONNX Runtime with a session per application: one JSON line per measurement.

    python scripts/bench_peers_runtime.py open|memory|adapters|lengths|throughput [--precision int8|f32] [--sessions 1,10]
    python scripts/bench_peers_runtime.py throughput --batch 1,8,16,32 --threads 1 --workers 2

Every application has a whole model, as it has when its adapter is merged: a random BERT of MiniLM's shape (or --model DIR) with a head of 9 entity
tags or, in every second session, of 4 labels. int8 is dynamic quantisation. Models are exported once, to --dir, and start as ids: there is no
tokenizer and no decoding here, which `espalier bench runtime` does have.

With --threads 2 sessions run one after the other, on two threads each; with --threads 1 --workers 2, two sessions at a time on one thread each.
Threads of a session spin between calls only where there is one session (--spin always|never decides otherwise): idle sessions would take the
cores from the busy one. Throughput sorts the texts by length and pads each batch to its longest.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy

LAYERS, WIDTH, HEADS, INNER, VOCABULARY = 6, 384, 12, 1536, 30522
TAGS, LABELS = 9, 4
LENGTHS = [8, 16, 32, 64, 128, 256]
MANY, PASSES, PROCESSES = 10, 3, 10
NAMES = ["input_ids", "attention_mask"]


def parse():
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["open", "memory", "adapters", "lengths", "throughput"])
    parser.add_argument("--precision", default="int8", choices=["int8", "f32"])
    parser.add_argument("--sessions", default=[1, 2, 5, 10], type=numbers)
    parser.add_argument("--seq", type=int, default=16)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--batch", default=[1, 2, 4, 8, 16, 32, 64], type=numbers)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--spin", choices=["always", "never"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--model", help="a Hugging Face directory instead of random weights")
    parser.add_argument("--fuse", action="store_true", help="fuse attention, LayerNorm and GELU by onnxruntime.transformers first")
    parser.add_argument("--dir", default=os.path.join(tempfile.gettempdir(), "espalier-peers"))
    parser.add_argument("--fresh", choices=["export", "open", "memory"], help=argparse.SUPPRESS)
    return parser.parse_args()


# Models


def paths(args):
    """Files of the model with tags and of the model with labels."""
    kind = (os.path.basename(os.path.normpath(args.model)) if args.model else "random") + (".fused" if args.fuse else "") + "." + args.precision
    return [os.path.join(args.dir, f"{head}.{kind}.onnx") for head in ["tags", "labels"]]


def export(args):
    import torch
    from transformers import BertConfig, BertModel

    class Tagger(torch.nn.Module):
        """Scores of every token; of the mean of a text's tokens if it is to label texts."""

        def __init__(self, encoder, classes, pool):
            super().__init__()
            self.encoder, self.head, self.pool = encoder, torch.nn.Linear(encoder.config.hidden_size, classes), pool

        def forward(self, input_ids, attention_mask):
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            if self.pool:
                weights = attention_mask.unsqueeze(-1).to(states.dtype)
                states = (states * weights).sum(1) / weights.sum(1)
            return self.head(states)

    torch.manual_seed(0)
    if args.model:
        encoder = BertModel.from_pretrained(args.model, add_pooling_layer=False, attn_implementation="eager")
    else:
        config = BertConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
            attn_implementation="eager",
        )
        encoder = BertModel(config, add_pooling_layer=False)
    os.makedirs(args.dir, exist_ok=True)
    for path, classes, pool in zip(paths(args), [TAGS, LABELS], [False, True]):
        save(args, Tagger(encoder, classes, pool).eval(), path)


def save(args, model, path):
    import torch

    example = torch.ones(2, 16, dtype=torch.long)
    with tempfile.TemporaryDirectory() as folder:
        step = os.path.join(folder, "model.onnx")
        torch.onnx.export(
            model, (example, example), step, input_names=NAMES, output_names=["scores"], opset_version=17, dynamo=False,
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in NAMES},
        )
        if args.fuse:
            from onnxruntime.transformers.optimizer import optimize_model

            config = model.encoder.config
            fused = optimize_model(step, "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size)
            fused.save_model_to_file(step)
        if args.precision == "int8":
            import onnx
            from onnxruntime.quantization import QuantType, quantize_dynamic

            # Behind a fused operation the quantiser does not find out types itself.
            types = {"DefaultTensorType": onnx.TensorProto.FLOAT}
            quantize_dynamic(step, step + ".int8", weight_type=QuantType.QInt8, extra_options=types)
            step += ".int8"
        with open(step, "rb") as file, open(path + ".part", "wb") as copy:
            copy.write(file.read())
    os.replace(path + ".part", path)


def open_sessions(args, count):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    spin = args.spin == "always" or (args.spin is None and count == 1)
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    files = paths(args)
    return [onnxruntime.InferenceSession(files[i % 2], options, providers=["CPUExecutionProvider"]) for i in range(count)]


# Work


def report(args, **figures):
    setting = {name: getattr(args, name) for name in ["work", "precision", "threads", "workers", "spin", "fuse"]}
    print(json.dumps({**setting, **figures}), flush=True)


def fresh(what, *options):
    """Standard output of a new process that does one thing alone, as this one was told."""
    command = [sys.executable, *sys.argv, *options, "--fresh", what]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def padded(lengths, seed=0):
    """Ids and mask of texts of these lengths."""
    lengths, random = numpy.array(lengths), numpy.random.default_rng(seed)
    mask = (numpy.arange(lengths.max())[None, :] < lengths[:, None]).astype(numpy.int64)
    return dict(zip(NAMES, [random.integers(1000, VOCABULARY, mask.shape) * mask, mask]))


def answerer(args, sessions):
    """A function that answers a batch by all sessions."""
    if args.workers == 1:
        return lambda feed: [session.run(None, feed) for session in sessions]
    pool = ThreadPoolExecutor(args.workers)
    return lambda feed: list(pool.map(lambda session: session.run(None, feed), sessions))


def spread(times):
    times = sorted(times)
    p95 = times[-(-len(times) * 95 // 100) - 1]
    return {"median_ms": round(statistics.median(times), 3), "p95_ms": round(p95, 3)}


def timed(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def latency(args, count, tokens):
    answer, feeds = answerer(args, open_sessions(args, count)), [padded([tokens], seed) for seed in range(16)]
    for feed in feeds:
        answer(feed)
    times = [timed(lambda: answer(feeds[step % len(feeds)])) for step in range(args.steps)]
    report(args, tokens=tokens, sessions=count, **spread(times))


def throughput(args):
    answer = answerer(args, open_sessions(args, MANY))
    lengths = sorted(5 + i * 37 % 60 for i in range(args.texts))
    for batch in args.batch:
        feeds = [padded(lengths[start : start + batch], start) for start in range(0, len(lengths), batch)]
        # The longest batch: memory is asked for here.
        answer(feeds[-1])
        calls = [[timed(lambda: answer(feed)) for feed in feeds] for _ in range(PASSES)]
        texts = len(lengths) / statistics.median(map(sum, calls)) * 1e3
        report(
            args, sessions=MANY, batch=batch, texts_per_second=round(texts, 1), requests_per_second=round(texts * MANY, 1),
            call=spread(sum(calls, [])),
        )


def resident_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))


def memory_alone(args):
    """Memory of this process before it has sessions, and after each of them has answered."""
    import onnxruntime  # noqa: F401

    before = resident_mib()
    sessions = open_sessions(args, args.sessions[0])
    answerer(args, sessions)(padded([args.seq]))
    return {"library_mib": round(before, 1), "mib": round(resident_mib(), 1)}


def open_alone(args):
    import onnxruntime  # noqa: F401

    feed = padded([args.seq])
    start = time.perf_counter()
    sessions = open_sessions(args, 1)
    middle = time.perf_counter()
    answerer(args, sessions)(feed)
    end = time.perf_counter()
    parts = {"open_ms": middle - start, "answer_ms": end - middle, "total_ms": end - start}
    return {name: round(seconds * 1e3, 3) for name, seconds in parts.items()}


def main():
    args = parse()
    if args.fresh == "export":
        return export(args)
    if args.fresh:
        return print(json.dumps(open_alone(args) if args.fresh == "open" else memory_alone(args)))
    if not all(map(os.path.exists, paths(args))):
        # By a process of its own, so that PyTorch is not in this one.
        fresh("export")
    if args.work == "open":
        # The files are in the page cache after the first process, which does not count.
        figures = [json.loads(fresh("open")) for _ in range(PROCESSES)][1:]
        report(args, **{name: statistics.median(one[name] for one in figures) for name in figures[0]})
    elif args.work == "memory":
        for count in args.sessions:
            report(args, sessions=count, **json.loads(fresh("memory", "--sessions", str(count))))
    elif args.work == "throughput":
        throughput(args)
    else:
        cases = [(count, args.seq) for count in args.sessions]
        if args.work == "lengths":
            cases = [(count, tokens) for tokens in LENGTHS for count in [1, MANY]]
        for count, tokens in cases:
            latency(args, count, tokens)


main()
