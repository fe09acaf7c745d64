#!/usr/bin/env bash
# Makes models/default.tipcam again:   models/recipe.sh [DATA] [OUT]
# The same program makes the same bytes. The committed asset is older than the way codes are rounded since 2026-11-30: what is
# made today has keys that differ in their last digits.
#   DATA  the folder with encoders/, clip-vitb32/ and images/ that MODEL_CARD.md lists  [../shared/data]
#   OUT   the asset to write                                                            [models/default.tipcam]
# Only training photographs are looked at: 256 of them calibrate the encoder, the first 16 of each
# class are the shots.
set -euo pipefail
data=${1:-../shared/data}
out=${2:-$(dirname "$0")/default.tipcam}
models=$(cd "$(dirname "$0")" && pwd)
split=$data/clip-vitb32/caltech101_files.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The training photographs in a folder of their own, in the split's order.
python3 - "$data" "$work/train" <<'PY'
import json, os, sys
data, train = sys.argv[1:]
os.makedirs(train)
for i, name in enumerate(json.load(open(f"{data}/clip-vitb32/caltech101_files.json"))["train"]):
    os.symlink(os.path.abspath(f"{data}/images/caltech101/{name}"), f"{train}/{i:04}.jpg")
PY

tipcam() { cargo run --locked --release --quiet --manifest-path "$models/../Cargo.toml" -- "$@"; }
tipcam encoder import "$data/encoders/efficientnet_lite0_features.onnx" -o "$work/encoder.tipcam" \
    --calibrate "$work/train" --calibrate-count 256 --size 224 --mean 127 --std 128 \
    --projection "$models/projection/efficientnet_lite0_to_clip512.safetensors" \
    --text-bank "$data/clip-vitb32/text_bank.safetensors"
tipcam build --no-resume --encoder "$work/encoder.tipcam" --classes "$models/caltech101_classes.txt" \
    --shots "$data/images/caltech101" --split "$split" --part train --per-class 16 \
    --note "encoder=EfficientNet-Lite0, ImageNet, Apache-2.0" \
    --note "text=Detic vocabularies, CLIP ViT-B/32, prompt \"a {name}\", Apache-2.0" \
    --note "shots=Caltech101, CC BY 4.0, first 16 training photographs of each class" \
    -o "$out"
