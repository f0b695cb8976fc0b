#!/usr/bin/env bash
# Builds the container images and runs them, without a Docker daemon: make test-container
#
# Debian's debootstrap makes a base image, buildah builds the Dockerfile on it (chroot isolation), podman and runc run
# the result as a user that is not root, on a read-only root file system, without network and without capabilities.
# Needs root, Debian's packages debootstrap, buildah, podman and runc, 15 GB of disk and about ten minutes. pip is given this
# machine's settings (pip config); they do not get into the image.
#
#   WORK=folder   works there and keeps it all: pictures in outputs/, base image and build cache for the next time
#   SUITE=name    Debian release of the base image (default: bookworm)
#   MODEL=no      leaves out the run of a real model (two minutes of computing)
# shellcheck disable=SC2016  # dollars in single quotes are for awk, sh and Go templates inside
set -Eeuo pipefail
cd "$(dirname "$0")/.."

for tool in debootstrap buildah podman runc; do
    command -v "$tool" > /dev/null || { echo "$tool is not here; apt-get install debootstrap buildah podman runc"; exit 1; }
done
[[ $(id -u) == 0 ]] || { echo "debootstrap and mounts need root; sudo $0"; exit 1; }

kept=${WORK:-}
work=${WORK:-$(mktemp -d)}
mkdir -p "$work"
work=$(realpath "$work")
out=$work/outputs
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$work/policy.json"
store=(--root "$work/store" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-overlay}")
buildah=(buildah "${store[@]}" --signature-policy "$work/policy.json")
podman=(podman "${store[@]}" --runtime runc --cgroup-manager cgroupfs)
# limits that an unprivileged caller may set too; systemd, which podman's health checks want, need not run here
inside=(--ulimit "nofile=4096:4096" --ulimit "nproc=4096:4096" --no-healthcheck --network none
    --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --volume "$out:/outputs")
failed=0
rm -rf "$out"
mkdir -p "$out"
chown 1000:1000 "$out"

# shellcheck disable=SC2329  # by the trap below
cleanup() {
    "${podman[@]}" rm --all --force > /dev/null 2>&1 || true
    "${buildah[@]}" rm --all > /dev/null 2>&1 || true
    awk -v under="$work/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r | xargs --no-run-if-empty umount || true
    [[ $kept ]] || rm -rf "$work"
}
trap cleanup EXIT
trap 'echo "FAIL  line $LINENO: $BASH_COMMAND"' ERR

say() { printf '\n== %s\n' "$*"; }
ok() { printf 'ok    %s\n' "$*"; }
bad() { printf 'FAIL  %s\n' "$*"; failed=1; }
expect() { if [[ $2 == "$3" ]]; then ok "$1: $2"; else bad "$1: got $2; expected $3"; fi; }
inspect() { "${podman[@]}" image inspect --format "$2" "localhost/$1"; }
run() { "${podman[@]}" run --rm "${inside[@]}" "$@"; }

# this machine's pip settings as one file, and the local folders that they name
pip_settings() {
    python3 -m pip config list | python3 -c '
import ast, pathlib, re, sys
merged, folders = {}, set()
for line in sorted(sys.stdin, key=lambda line: line.startswith(":env:")):   # the environment wins
    key, _, value = line.strip().partition("=")
    name = key.split(".", 1)[-1]
    merged[name] = ast.literal_eval(value)
    for word in merged[name].split():
        path = pathlib.Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            folders.add(str(path.parent if path.name == "simple" else path))   # an index points to files beside it
with open(sys.argv[1], "w") as file:
    file.write("[global]\n" + "".join(f"{name} = {value}\n" for name, value in merged.items()))
print(*sorted(folders), sep="\n")' "$work/pip.conf"
}
mapfile -t folders < <(pip_settings)
build=("${buildah[@]}" bud --isolation chroot --network host --format docker --layers --secret "id=pip,src=$work/pip.conf"
    --build-arg "REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)" --build-arg CPU_BASE=localhost/niah-test-base)
for folder in "${folders[@]}"; do
    [[ $folder ]] && build+=(--volume "$folder:$folder:ro")
done
# a CPU build of PyTorch that pip finds on this machine saves its index
torch=$(grep -i '^torch==' constraints.txt)
if python3 -m pip download --quiet --no-index --no-deps --dest "$work/torch" "$torch" > /dev/null 2>&1; then
    build+=(--build-arg TORCH_INDEX=)
    rm -r "$work/torch"
fi

say "base image, by debootstrap"
if "${podman[@]}" image exists localhost/niah-test-base; then
    echo "kept from an earlier run"
else
    SECONDS=0
    rm -rf "$work/base"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "${SUITE:-bookworm}" "$work/base" \
        > "$work/debootstrap.log" || { tail -n 20 "$work/debootstrap.log"; exit 1; }
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" add --quiet "$container" "$work/base" / > /dev/null
    "${buildah[@]}" commit --quiet --rm "$container" localhost/niah-test-base > /dev/null
    rm -rf "$work/base"
    echo "$SECONDS s"
fi

say "docker build --target cpu"
SECONDS=0
"${build[@]}" --target cpu --tag localhost/niah:cpu . > "$work/cpu.log" 2>&1 || { tail -n 40 "$work/cpu.log"; exit 1; }
size=$(inspect niah:cpu '{{.Size}}')
ok "built in $SECONDS s, $((size / 1000000)) MB"
expect "user" "$(inspect niah:cpu '{{.Config.User}}')" "1000:1000"
expect "entrypoint" "$(inspect niah:cpu '{{json .Config.Entrypoint}}')" '["python","-m","niah"]'
expect "volumes" "$(inspect niah:cpu '{{range $k, $v := .Config.Volumes}}{{$k}} {{end}}')" "/cache /outputs "
expect "label version" "$(inspect niah:cpu '{{index .Config.Labels "org.opencontainers.image.version"}}')" \
    "$(run localhost/niah:cpu --version)"
mapfile -t check < <(inspect niah:cpu '{{range .HealthCheck.Test}}{{println .}}{{end}}' | sed -e 1d -e '/^$/d')
expect "health check (${check[*]})" "$(run --entrypoint "${check[0]}" localhost/niah:cpu "${check[@]:1}" > /dev/null; echo $?)" 0

say "as a user, on a read-only file system"
expect "uid" "$(run --entrypoint id localhost/niah:cpu -u)" 1000
expect "capabilities" "$(run --entrypoint grep localhost/niah:cpu CapEff /proc/self/status | tr -d '\t')" "CapEff:0000000000000000"
expect "root file system" "$(run --entrypoint awk localhost/niah:cpu '$2 == "/" {print substr($4, 1, 2)}' /proc/mounts)" ro
expect "writing outside /outputs, /cache and /tmp" \
    "$(run --entrypoint sh localhost/niah:cpu -c 'touch /probe /opt/niah/probe 2> /dev/null && echo works || echo refused')" refused

heatmap() {   # folder, rows, uid
    local file="$out/$1/heatmap.png"
    expect "$1: rows" "$(wc -l < "$out/$1/rows.jsonl")" "$2"
    expect "$1: owner of the picture" "$(stat -c %u "$file")" "$3"
    expect "$1: PNG" "$(head -c 8 "$file" | od -An -tx1 | tr -d ' \n')" 89504e470d0a1a0a
    ok "$file, $(stat -c %s "$file") bytes"
}

say "niah engine=fake"
SECONDS=0
run localhost/niah:cpu engine=fake name=fake
heatmap fake 44 1000
echo "$SECONDS s"

say "the same command again continues: nothing is left to do"
run localhost/niah:cpu engine=fake name=fake 2>&1 | grep '^outputs/fake'
expect "fake: rows" "$(wc -l < "$out/fake/rows.jsonl")" 44

say "another user id, without a name in the image"
mkdir "$out/other" && chown 4321:4321 "$out/other"
run --user 4321:4321 localhost/niah:cpu engine=fake outputs=outputs/other name=fake "ctx.lengths=[1k]" > /dev/null 2>&1
heatmap other/fake 11 4321

say "a folder that Docker made for root: one line, no traceback"
mkdir "$out/foreign"
code=0
message=$(run localhost/niah:cpu engine=fake outputs=outputs/foreign name=fake "ctx.lengths=[1k]" 2>&1 > /dev/null) || code=$?
expect "exit code" "$code" 1
expect "message" "$(tail -n 1 <<< "$message" | cut -d ';' -f 1)" \
    "niah: outputs/foreign/fake: cannot be written (Permission denied)"

say "stop: SIGTERM, as an orchestrator sends it"
"${podman[@]}" run "${inside[@]}" --detach --name niah-test-stop localhost/niah:cpu \
    engine=fake engine.seconds=0.5 "ctx.lengths=[1k]" ctx.repeats=20 name=stopped > /dev/null
for _ in {1..60}; do
    [[ -s $out/stopped/rows.jsonl ]] && break
    sleep 1
done
SECONDS=0
"${podman[@]}" stop --time 60 niah-test-stop > /dev/null
seconds=$SECONDS
expect "exit code" "$("${podman[@]}" container inspect --format '{{.State.ExitCode}}' niah-test-stop)" 130
"${podman[@]}" rm niah-test-stop > /dev/null
rows=$(wc -l < "$out/stopped/rows.jsonl")
if ((rows > 0 && rows < 220 && seconds < 20)); then ok "stopped after $seconds s, $rows of 220 trials kept"
else bad "stopped after $seconds s with $rows of 220 trials; expected some, in less than 20 s"; fi

if [[ ${MODEL:-yes} == yes ]]; then
    say "niah with SmolLM2 in vLLM"
    SECONDS=0
    run localhost/niah:cpu name=smollm2 "ctx.lengths=[1k,2k,4k]"
    heatmap smollm2 33 1000
    echo "$SECONDS s"
fi

say "docker build (target gpu), on a stand-in for vLLM's image: a base that has packages of its own"
SECONDS=0
mkdir -p "$work/standin"
cat > "$work/standin/Dockerfile" << 'END'
FROM localhost/niah-test-base
RUN --mount=type=secret,id=pip python3 -m venv /tmp/venv && PIP_CONFIG_FILE=/run/secrets/pip /tmp/venv/bin/python \
    -m pip install --quiet --target /usr/lib/python3/dist-packages numpy==2.3.4 && rm -r /tmp/venv
END
"${build[@]}" --tag localhost/niah-test-standin "$work/standin" > "$work/standin.log" 2>&1 || { tail -n 40 "$work/standin.log"; exit 1; }
"${build[@]}" --build-arg GPU_BASE=localhost/niah-test-standin --build-arg EXTRAS=ray --tag localhost/niah:gpu . \
    > "$work/gpu.log" 2>&1 || { tail -n 40 "$work/gpu.log"; exit 1; }
ok "built in $SECONDS s, $(($(inspect niah:gpu '{{.Size}}') / 1000000)) MB"
expect "numpy is the base image's" \
    "$(run --entrypoint python localhost/niah:gpu -c 'import numpy; print(numpy.__version__, numpy.__file__.split("/numpy/")[0])')" \
    "2.3.4 /usr/lib/python3/dist-packages"
expect "a login shell, as KubeRay starts nodes, finds Ray" \
    "$(run --entrypoint bash localhost/niah:gpu -lc 'command -v ray')" /opt/niah/bin/ray
# the stand-in has no PyTorch, so no model is read: contexts in Llama 4's tokens, and a picture from rows
run localhost/niah:gpu build model=scout "ctx.lengths=[8k]" "ctx.depths=[0,50,100]" out=outputs/contexts > /dev/null
expect "contexts built for Scout" "$(find "$out/contexts" -name '*.npy' | wc -l)" 3
rm "$out/fake/heatmap.png"
run localhost/niah:gpu report outputs/fake > /dev/null
heatmap fake 44 1000

say "result"
if ((failed)); then echo "FAILED: see FAIL above"; else echo "all passed"; fi
exit "$failed"
