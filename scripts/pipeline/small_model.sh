#!/usr/bin/env bash
# Trains a small model on drawn photos with the trainer image, into models/: what a pull request builds the serving
# image with, because it has no secrets to fetch a real one. Proves on the way that the image can train.
#   TRAINER_IMAGE   image to train with
. "$(dirname "$0")/prelude.sh"
need TRAINER_IMAGE

name=catsdogs-small-$$
clean() { docker rm --force "$name" >/dev/null 2>&1 || true; docker volume rm "$name-"{data,models,artifacts} >/dev/null; }
trap clean EXIT
in_image() {
  docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --shm-size 256m \
    --volume "$name-data:/app/data" --volume "$name-models:/app/models" --volume "$name-artifacts:/app/artifacts" \
    "$TRAINER_IMAGE" "$@"
}
in_image sample --output-dir data/raw --per-class 60
in_image ingest --source-dir data/raw --output-dir data/ingested
in_image preprocess --input-dir data/ingested --output-dir data/processed --image-size 64
in_image train --data-dir data/processed --epochs 2 --force-cpu
docker create --name "$name" --volume "$name-models:/app/models" --volume "$name-artifacts:/app/artifacts" \
  "$TRAINER_IMAGE" >/dev/null
mkdir -p models artifacts
docker cp "$name:/app/models/." models/
docker cp "$name:/app/artifacts/." artifacts/
