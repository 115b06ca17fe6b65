#!/usr/bin/env bash
# Asks the service at its public address, as a user would: smoke test, then every photo of the evaluation batch.
#   BASE_URL   the address
. "$(dirname "$0")/prelude.sh"
need BASE_URL
catsdogs smoke-test --base-url "$BASE_URL"
exec catsdogs post-deploy-eval --base-url "$BASE_URL" --input-csv artifacts/eval_batch.csv \
  --output-json artifacts/post_deploy_eval.json
