#!/usr/bin/env bash
# Credentials for what comes next: docker for the registry, kubectl for the cluster. Run again, they are fresh.
#   ARTIFACT_REGISTRY_REPO              where images go (with GCP_PROJECT_ID and GKE_CLUSTER_LOCATION, if only a name)
#   GKE_CLUSTER_NAME                    the cluster (with GCP_PROJECT_ID and GKE_CLUSTER_LOCATION)
#   GOOGLE_APPLICATION_CREDENTIALS      set by google-github-actions/auth: where to ask for new credentials
. "$(dirname "$0")/prelude.sh"

# gcloud keeps an access token for an hour; logging in anew makes it ask for another one now.
if [[ -n ${GOOGLE_APPLICATION_CREDENTIALS:-} ]]; then
  gcloud auth login --quiet --cred-file="$GOOGLE_APPLICATION_CREDENTIALS"
fi
if [[ -n ${ARTIFACT_REGISTRY_REPO:-} ]]; then
  repository=$(registry)
  gcloud auth configure-docker --quiet "${repository%%/*}"
fi
if [[ -n ${GKE_CLUSTER_NAME:-} ]]; then
  need GCP_PROJECT_ID GKE_CLUSTER_LOCATION
  gcloud container clusters get-credentials "$GKE_CLUSTER_NAME" --location "$GKE_CLUSTER_LOCATION" \
    --project "$GCP_PROJECT_ID"
fi
