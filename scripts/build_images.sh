#!/usr/bin/env bash
# Builds both images with their labels: scripts/build_images.sh [trainer|serve ...]
# TRAINER_IMAGE, API_IMAGE name them; BASE_IMAGE and SOURCE (the repository's address) may be set too.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=1

commit=$(git rev-parse HEAD)
if [[ -n $(git status --porcelain) ]]; then commit+=-dirty; fi
arguments=(--build-arg "COMMIT=$commit" --build-arg "SOURCE=${SOURCE:-}")
if [[ -n ${BASE_IMAGE:-} ]]; then arguments+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi

if (( $# == 0 )); then set -- trainer serve; fi
for image in "$@"; do
  case $image in
    trainer)
      docker build "${arguments[@]}" -t "${TRAINER_IMAGE:-cats-dogs-trainer:latest}" . ;;
    serve)
      for file in models/model.pt models/model.onnx; do
        if [[ ! -f $file ]]; then echo "$file is missing: it is written by \`catsdogs train\`." >&2; exit 1; fi
      done
      digest=$(sha256sum models/model.pt | cut -d ' ' -f 1)
      docker build "${arguments[@]}" --build-arg "MODEL_DIGEST=sha256:$digest" -f Dockerfile.serve \
        -t "${API_IMAGE:-cats-dogs-api:latest}" . ;;
    *)
      echo "no image '$image': trainer or serve." >&2; exit 2 ;;
  esac
done
