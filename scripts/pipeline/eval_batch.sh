#!/usr/bin/env bash
# Brings the labelled photos that a release is judged on into artifacts/eval_batch.csv and artifacts/eval_batch/.
#   EVAL_BATCH_GCS_URI   folder in a bucket with eval_batch.csv and its photos; the same for every release, so the better
#   BUCKET, COMMIT       without it: the batch is made from the test split of this commit's version in the bucket
. "$(dirname "$0")/prelude.sh"
