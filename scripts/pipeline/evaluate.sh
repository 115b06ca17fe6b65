#!/usr/bin/env bash
# Asks the service at its public address, as a user would: smoke test, then every photo of the evaluation batch. Exit 1
# below the gate's floor of params.yaml.
#   BASE_URL                                       the address
#   CATSDOGS_POST_DEPLOY_EVAL_MIN_ACCURACY         another floor
. "$(dirname "$0")/prelude.sh"
need BASE_URL
if [[ -z ${CATSDOGS_POST_DEPLOY_EVAL_MIN_ACCURACY:-} ]]; then
  floor=$(python -c 'import yaml; print(yaml.safe_load(open("params.yaml"))["gate"]["min_accuracy"])')
  export CATSDOGS_POST_DEPLOY_EVAL_MIN_ACCURACY=$floor
fi
catsdogs smoke-test --base-url "$BASE_URL"
exec catsdogs post-deploy-eval --base-url "$BASE_URL" --input-csv artifacts/eval_batch.csv \
  --output-json artifacts/post_deploy_eval.json
