#!/usr/bin/env bash
# Calibration models at 1M, 4M and 10,485,760 tokens: found everywhere? KV cache as planned? seconds for how many FLOPs?
#
#   benchmarks/gpu_calibration.sh                          one 80 GB card, FLASH_ATTN, KV bf16 and fp8
#   benchmarks/gpu_calibration.sh --dry-run                the same steps at 64K on whatever is here
#   benchmarks/gpu_calibration.sh lengths=1m,10m kv=bf16 models=full depths=0,50,100 attention=flashinfer out=DIR
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}
lengths=1m,4m,10m kv=bf16,fp8 models=full,scout depths=0,50,100 attention=flash_attn hardware=1xh100 out=outputs/gpu_calibration
for word in "$@"; do
  case $word in
    --dry-run) lengths=64k; depths=50; attention=; hardware=auto ;;
    lengths=*|kv=*|models=*|depths=*|attention=*|hardware=*|out=*) declare "${word%%=*}=${word#*=}" ;;
    *) echo "gpu_calibration: $word: not understood; expected --dry-run, lengths=, kv=, models=, depths=, attention=, hardware= or out=" >&2; exit 1 ;;
  esac
done
failed=0
for model in ${models//,/ }; do
  words=(model=calibration/"$model" ctx.lengths="[$lengths]")
  "$python" -m niah plan "${words[@]}" hardware="$hardware"
  "$python" -m niah "${words[@]}" ctx.depths="[$depths]" kv="[$kv]" haystack=generated outputs="$out" name="$model" \
    ${attention:+engine.attention=[$attention]} || failed=1
  "$python" -m niah calibrate "$out/$model" || failed=1
done
"$python" benchmarks/gpu_calibration.py $(for model in ${models//,/ }; do echo "$out/$model"; done)
exit $failed
