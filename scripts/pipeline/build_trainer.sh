#!/usr/bin/env bash
# Builds the trainer image; pushes it where a registry is named. Prints image=<name>, by digest once it is pushed.
#   COMMIT                              the commit that the image is built from
#   ARTIFACT_REGISTRY_REPO              where to push (with GCP_PROJECT_ID and GKE_CLUSTER_LOCATION, if only a name);
#                                       without it nothing is pushed
. "$(dirname "$0")/prelude.sh"
need COMMIT
exec scripts/pipeline/build.sh catsdogs-trainer Dockerfile --build-arg "COMMIT=$COMMIT"
