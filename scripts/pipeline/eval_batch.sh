#!/usr/bin/env bash
# Brings the labelled photos that a release is judged on into artifacts/eval_batch.csv and artifacts/eval_batch/.
#   EVAL_BATCH_GCS_URI   folder in a bucket with eval_batch.csv and its photos. The same photos for every release: the
#                        only protection where the labels of new photos are wrong, test split included
#   BUCKET, COMMIT       without it: the batch is made from the test split of this commit's version in the bucket
. "$(dirname "$0")/prelude.sh"
if [[ -n ${EVAL_BATCH_GCS_URI:-} ]]; then
  exec python scripts/pipeline/fetch_batch.py "$EVAL_BATCH_GCS_URI" artifacts/eval_batch.csv
fi
need BUCKET COMMIT
catsdogs pull --bucket "$BUCKET" --commit "$COMMIT" --stage ingested --stage processed --overwrite
exec catsdogs eval-batch --processed-dir data/processed --output-csv artifacts/eval_batch.csv
