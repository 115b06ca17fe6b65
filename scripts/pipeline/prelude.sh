# shellcheck shell=bash
# Sourced by the scripts beside it: strict mode, the repository root, and the few words they share.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PWD/.venv/bin:$PATH

say() { printf '%s\n' "$*" >&2; }

# need NAME...: names every variable that is missing at once, exit 2.
need() {
  local missing=() name
  for name in "$@"; do [[ -n ${!name:-} ]] || missing+=("$name"); done
  ((${#missing[@]} == 0)) && return
  say "$(basename "$0") needs ${missing[*]}: set as an environment variable; the script's first lines say what each is."
  exit 2
}

# output NAME VALUE: shown, and handed to later steps.
output() {
  printf '%s=%s\n' "$1" "$2"
  if [[ -n ${GITHUB_OUTPUT:-} ]]; then printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"; fi
}

# Where images go: ARTIFACT_REGISTRY_REPO as a whole address (host/project/repository), or the repository's name,
# which lies in the project and in the cluster's region (a zone such as europe-west1-b is in europe-west1).
registry() {
  need ARTIFACT_REGISTRY_REPO
  if [[ $ARTIFACT_REGISTRY_REPO == */* ]]; then
    printf '%s' "$ARTIFACT_REGISTRY_REPO"
  else
    need GCP_PROJECT_ID GKE_CLUSTER_LOCATION
    local region=$GKE_CLUSTER_LOCATION
    [[ $region =~ ^(.+-.+)-[a-z]$ ]] && region=${BASH_REMATCH[1]}
    printf '%s-docker.pkg.dev/%s/%s' "$region" "$GCP_PROJECT_ID" "$ARTIFACT_REGISTRY_REPO"
  fi
}
