#!/usr/bin/env bash
# Makes fixtures/earlier: runs, adapters and packed backbones as an earlier version of espalier
# wrote them, with what came of them. Tests open them with the present version.
# Usage: scripts/make_earlier_fixtures.sh ESPALIER, a program of the version to keep.
set -euo pipefail
espalier=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/fixtures/earlier
rm -rf "$out" && mkdir -p "$out/data/cities" "$out/data/intents" && cd "$out"

cities=(london paris berlin york rome boston)
for n in $(seq 0 29); do
    city=${cities[$((n % 6))]}
    echo "{\"tokens\":[\"train\",\"$n\",\"to\",\"$city\"],\"spans\":[{\"start\":3,\"end\":4,\"type\":\"city\"}]}" >>data/concepts.jsonl
    echo "{\"anchor\":\"hotel $n in $city\",\"positive\":\"about $city $n\"}" >>data/pairs.jsonl
    printf 'the hotel %s near the station of london was great , not cheap .\n\n' "$n" >>data/texts.txt
done
for city in london paris berlin; do
    echo "{\"tokens\":[\"trains\",\"to\",\"$city\"],\"tags\":[\"O\",\"O\",\"B-city\"]}" >>data/cities/train.jsonl
    echo "{\"text\":\"the cheap hotel in $city\",\"label\":\"hotel\"}" >>data/intents/train.jsonl
    echo "{\"text\":\"a train to $city\",\"label\":\"train\"}" >>data/intents/train.jsonl
done

# A run that was killed after its checkpoint of step 4 of 8, and what it would have ended with.
run() { # NAME COMMAND, the settings on standard input
    cat >run.toml
    "$espalier" --threads 1 "$2" run.toml --out "$1" --set train.precision=f32 --set train.steps=8 \
        --set train.checkpoint_every=4 --set train.keep_checkpoints=2 --set train.validation=3 \
        --set train.validate_every=2 >/dev/null 2>&1
    mkdir "$1/expected"
    for made in backbone adapters columns; do
        if [ -e "$1/$made" ]; then mv "$1/$made" "$1/expected/"; fi
    done
    if [ "$1" = pretrained ]; then cp -r "$1/expected/backbone" backbone; fi
    find "$1/expected" -type f ! -name '*.safetensors' ! -name stitches.json -delete
    rm -rf "$1"/checkpoints/step-00000008 "$1"/summary.json "$1"/README.md "$1"/events.out.* run.toml
    sed -i "s|\"$out/|\"HERE/|g" "$1/config.toml"
}
run pretrained pretrain <<TOML
backbone = "scratch"
[scratch]
tokenizer = "$root/fixtures/tiny-bert"
layers = 2
width = 16
heads = 2
inner = 24
positions = 24
[mlm]
corpora = ["data/texts.txt"]
batch = 4
max_tokens = 24
TOML
sed -i "s|\"$root/fixtures/|\"HERE/../|g" pretrained/config.toml
families='tc.corpora = ["data/pairs.jsonl"]
tc.batch = 4
ner.corpora = ["data/concepts.jsonl"]
ner.batch = 4'
run tpl prefinetune <<TOML
backbone = "backbone"
strategy = "tpl"
train.patience = 1000
ner.concept_encoder = "trained"
$families
TOML
run cross-stitch prefinetune <<TOML
backbone = "backbone"
strategy = "cross-stitch"
train.patience = 1000
$families
TOML
run distilled prefinetune <<TOML
backbone = "backbone"
strategy = "pcgrad"
train.optimizer = "sgd"
ner.teacher = "backbone"
ner.teacher_precision = "f32"
ner.teacher_cache = "said"
$families
TOML
for task in cities intents; do
    "$espalier" --threads 1 finetune --backbone backbone --task data/$task --steps 40 --precision f32 \
        --out adapter-$task >/dev/null 2>&1
done
for dtype in f32 bf16 int8; do
    "$espalier" pack --backbone backbone --dtype $dtype --out backbone-$dtype.espalier >/dev/null 2>&1
done
cut -d'"' -f4 data/intents/train.jsonl >data/texts-to-read.txt
for task in cities intents; do
    "$espalier" predict --backbone backbone --adapter adapter-$task --precision f32 --json \
        <data/texts-to-read.txt >adapter-$task.answers.jsonl
done
