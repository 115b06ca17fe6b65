#!/usr/bin/env bash
# Names the secrets that are missing, before anything is built. Exit 2 where one is.
#   the eight secrets of docs/pipeline.md, as environment variables; EVAL_BATCH_GCS_URI may be empty
. "$(dirname "$0")/prelude.sh"

missing=()
for name in GCP_PROJECT_ID GCP_WIF_PROVIDER GCP_SA_EMAIL GCP_BUCKET_NAME GKE_CLUSTER_NAME GKE_CLUSTER_LOCATION \
  ARTIFACT_REGISTRY_REPO; do
  [[ -n ${!name:-} ]] || missing+=("$name")
done
if ((${#missing[@]})); then
  message="Secrets are missing: ${missing[*]}. Set them under Settings, Secrets and variables, Actions; \
scripts/bootstrap_gcp.sh prints their values."
  say "$message"
  if [[ -n ${GITHUB_ACTIONS:-} ]]; then printf '::error title=Secrets are missing::%s\n' "$message"; fi
  exit 2
fi
[[ $GCP_BUCKET_NAME == *://* ]] && { say "GCP_BUCKET_NAME is a name, without gs:// before it."; exit 2; }
[[ -n ${EVAL_BATCH_GCS_URI:-} ]] || say "EVAL_BATCH_GCS_URI is not set: the batch is made from this run's test split."
say "Every secret that is needed is set."
