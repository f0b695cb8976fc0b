#!/usr/bin/env bash
# The image that a tag names today, by its digest: what is built on it is the same to the bit until you ask again.
#
#   docker build --build-arg CPU_BASE="$(bash deploy/digest.sh docker.io/library/python:3.11-slim-bookworm)" --target cpu .
#
# Asks the registry by the first tool that is here: docker (buildx), skopeo, crane or podman.
set -euo pipefail

image=${1:-}
refuse() {
    echo "digest: $1" >&2
    exit 1
}
[[ $# == 1 && -n $image ]] || refuse "which image? expected one, as docker.io/library/python:3.11-slim-bookworm"
[[ $image != *@* ]] || { echo "$image"; exit 0; }

if docker buildx version > /dev/null 2>&1; then
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
elif command -v skopeo > /dev/null; then
    digest=$(skopeo inspect --no-tags --format '{{.Digest}}' "docker://$image")
elif command -v crane > /dev/null; then
    digest=$(crane digest "$image")
elif command -v podman > /dev/null; then
    podman pull --quiet "$image" > /dev/null
    digest=$(podman image inspect --format '{{.Digest}}' "$image")
else
    refuse "no tool here that asks a registry; expected docker with buildx, skopeo, crane or podman"
fi
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || refuse "$image: got ${digest:-nothing}; expected a digest, as sha256:..."
echo "$image@$digest"
