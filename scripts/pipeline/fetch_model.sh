#!/usr/bin/env bash
# Fetches one model into models/ and its metrics into artifacts/training/: that of COMMIT, or the named champion.
# Never "the latest". Prints commit=<the commit it was trained for>.
#   BUCKET   address of the bucket
#   COMMIT   whose model is wanted
#   ACTION   champion: the model that models/champion.json in the bucket names, whatever COMMIT says
. "$(dirname "$0")/prelude.sh"
need BUCKET COMMIT

wanted=$COMMIT
if [[ ${ACTION:-} == champion ]]; then
  wanted=$(python scripts/pipeline/champion_commit.py "$BUCKET")
fi
catsdogs pull --bucket "$BUCKET" --commit "$wanted" --stage models --overwrite
catsdogs lineage models/model.onnx
output commit "$wanted"
