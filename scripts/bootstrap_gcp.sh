#!/usr/bin/env bash
# Makes what catsdogs needs on Google Cloud: bucket, image registry, GKE cluster, accounts, GitHub's way in, passwords.
# Safe to run again: what is there is left, or brought to the same state. Prints the eight GitHub secrets at the end.
#
#   GCP_PROJECT_ID=my-project GCP_BUCKET_NAME=my-bucket GITHUB_REPOSITORY=owner/name ./scripts/bootstrap_gcp.sh [--dry-run]
#
# Optional: GKE_CLUSTER_NAME (cats-dogs), GKE_CLUSTER_LOCATION (europe-west4-a), ARTIFACT_REGISTRY_REPO (catsdogs),
#   EVAL_BATCH_GCS_URI, MLFLOW_SOURCE_RANGE (addresses that may open MLflow), MLFLOW_ALLOWED_HOSTS,
#   MLFLOW_DATABASE_URI (for the overlay postgres; becomes a Secret of the cluster).
# --dry-run prints every line that would change something, and asks nobody anything.
set -euo pipefail
cd "$(dirname "$0")/.."

dry_run=
case "${1:-}" in
  --dry-run) dry_run=1 ;;
  "") ;;
  *) echo "bootstrap_gcp.sh: $1 is no option: --dry-run is the only one." >&2; exit 2 ;;
esac
for name in GCP_PROJECT_ID GCP_BUCKET_NAME GITHUB_REPOSITORY; do
  if [[ -z ${!name:-} ]]; then
    echo "bootstrap_gcp.sh: $name is not set: the first lines of this file say what belongs there." >&2
    exit 2
  fi
done
if [[ ! $GITHUB_REPOSITORY =~ ^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$ ]]; then
  echo "bootstrap_gcp.sh: GITHUB_REPOSITORY=$GITHUB_REPOSITORY is not owner/name." >&2
  exit 2
fi
if [[ -z $dry_run ]]; then
  for tool in gcloud kubectl gke-gcloud-auth-plugin python3; do
    if ! command -v "$tool" >/dev/null; then
      echo "bootstrap_gcp.sh: $tool is missing: install it, or look at what would be done with --dry-run." >&2
      exit 2
    fi
  done
fi

project=$GCP_PROJECT_ID
bucket=$GCP_BUCKET_NAME
cluster=${GKE_CLUSTER_NAME:-cats-dogs}
location=${GKE_CLUSTER_LOCATION:-europe-west4-a}
region=$location
[[ $location =~ ^(.+-.+)-[a-z]$ ]] && region=${BASH_REMATCH[1]}
registry=${ARTIFACT_REGISTRY_REPO:-catsdogs}
namespace=cats-dogs
domain=$project.iam.gserviceaccount.com
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Print a line and, unless this is a dry run, carry it out.
run() {
  printf '+'; printf ' %q' "$@"; printf '\n'
  [[ -n $dry_run ]] || "$@" </dev/null
}
# Whether something is there; in a dry run nothing is.
there() { [[ -z $dry_run ]] && "$@" >/dev/null 2>&1 </dev/null; }

# A grant to an account that was just made fails for some seconds: four more tries.
grant() {
  local pause
  for pause in 2 4 8 16; do
    if run "$@"; then return; fi
    sleep "$pause"
  done
  run "$@"
}
account() {  # NAME WHAT-FOR
  there gcloud iam service-accounts describe "$1@$domain" --project="$project" ||
    run gcloud iam service-accounts create "$1" --project="$project" --display-name="$2"
}
on_project() {  # ACCOUNT ROLE
  grant gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:$1@$domain" --role="$2" \
    --condition=None --quiet
}
on_bucket() {  # ACCOUNT ROLE
  grant gcloud storage buckets add-iam-policy-binding "gs://$bucket" --member="serviceAccount:$1@$domain" --role="$2" \
    --project="$project"
}
on_registry() {  # ACCOUNT ROLE
  grant gcloud artifacts repositories add-iam-policy-binding "$registry" --location="$region" --project="$project" \
    --member="serviceAccount:$1@$domain" --role="$2"
}
from_pods() {  # ACCOUNT: pods that run as the Kubernetes account of this name may act as it
  grant gcloud iam service-accounts add-iam-policy-binding "$1@$domain" --project="$project" \
    --role=roles/iam.workloadIdentityUser --member="serviceAccount:$project.svc.id.goog[$namespace/$1]"
}
# NAME KEY...: a Secret of the cluster, once. Values go through a pipe: never into a file, a log or an argument list.
# `username` is admin, `uri` is MLFLOW_DATABASE_URI, all others are random.
secret() {
  if there kubectl get secret "$1" --namespace="$namespace"; then
    return
  fi
  echo "+ kubectl create -f - --namespace=$namespace   # Secret $1 with ${*:2}"
  [[ -z $dry_run ]] || return 0
  python3 -c '
import json, os, secrets, sys
fixed = {"username": "admin", "uri": os.environ.get("MLFLOW_DATABASE_URI", "")}
values = {key: fixed.get(key) or secrets.token_urlsafe(32) for key in sys.argv[2:]}
json.dump({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": sys.argv[1]}, "stringData": values}, sys.stdout)
' "$@" | kubectl create -f - --namespace="$namespace" >/dev/null
}

run gcloud services enable artifactregistry.googleapis.com container.googleapis.com iam.googleapis.com \
  iamcredentials.googleapis.com monitoring.googleapis.com storage.googleapis.com sts.googleapis.com --project="$project"

# The bucket: no object is public; what is replaced or deleted stays for 30 days; checkpoints are forgotten after 14.
there gcloud storage buckets describe "gs://$bucket" --project="$project" ||
  run gcloud storage buckets create "gs://$bucket" --project="$project" --location="$region" \
    --uniform-bucket-level-access --public-access-prevention
cat >"$scratch/lifecycle.json" <<'J'
{"rule": [
  {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 30}},
  {"action": {"type": "Delete"}, "condition": {"age": 14, "matchesPrefix": ["checkpoints/"]}},
  {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}
]}
J
run gcloud storage buckets update "gs://$bucket" --project="$project" --versioning --uniform-bucket-level-access \
  --public-access-prevention --lifecycle-file="$scratch/lifecycle.json"

there gcloud artifacts repositories describe "$registry" --location="$region" --project="$project" ||
  run gcloud artifacts repositories create "$registry" --repository-format=docker --location="$region" \
    --project="$project" --description="catsdogs images"

# One account per role. The API asks Google for nothing, so its account has no role at all.
account catsdogs-nodes "nodes of the cluster: pull images, write logs and metrics"
account catsdogs-api "the prediction API: no rights"
account catsdogs-trainer "training: read and write the bucket"
account catsdogs-mlflow "MLflow: artifacts and backups in the bucket"
account catsdogs-github "GitHub Actions: push images, deploy, read and write the bucket"
on_project catsdogs-nodes roles/container.defaultNodeServiceAccount
on_registry catsdogs-nodes roles/artifactregistry.reader
on_bucket catsdogs-trainer roles/storage.objectUser
on_bucket catsdogs-mlflow roles/storage.objectUser
on_bucket catsdogs-github roles/storage.objectUser
on_registry catsdogs-github roles/artifactregistry.writer
on_project catsdogs-github roles/container.developer

# The cluster. Dataplane V2 enforces network policies; workload identity gives pods their accounts without keys.
there gcloud container clusters describe "$cluster" --location="$location" --project="$project" ||
  run gcloud container clusters create "$cluster" --location="$location" --project="$project" \
    --machine-type=e2-standard-4 --num-nodes=2 --release-channel=regular --enable-ip-alias --enable-dataplane-v2 \
    --enable-shielded-nodes --enable-managed-prometheus --workload-pool="$project.svc.id.goog" \
    --workload-metadata=GKE_METADATA --service-account="catsdogs-nodes@$domain"
there gcloud container node-pools describe spot --cluster="$cluster" --location="$location" --project="$project" ||
  run gcloud container node-pools create spot --cluster="$cluster" --location="$location" --project="$project" \
    --spot --machine-type=e2-standard-4 --num-nodes=0 --enable-autoscaling --min-nodes=0 --max-nodes=3 \
    --node-taints=cloud.google.com/gke-spot=true:NoSchedule --workload-metadata=GKE_METADATA \
    --service-account="catsdogs-nodes@$domain"
for role in catsdogs-api catsdogs-trainer catsdogs-mlflow; do from_pods "$role"; done

# GitHub signs in without a key, and only the main branch of this one repository.
condition="assertion.repository == '$GITHUB_REPOSITORY' && assertion.ref == 'refs/heads/main'"
mapping=google.subject=assertion.sub,attribute.repository=assertion.repository,attribute.ref=assertion.ref
there gcloud iam workload-identity-pools describe github --location=global --project="$project" ||
  run gcloud iam workload-identity-pools create github --location=global --project="$project" \
    --display-name="GitHub Actions"
verb=update-oidc
there gcloud iam workload-identity-pools providers describe github --workload-identity-pool=github --location=global \
  --project="$project" || verb=create-oidc
run gcloud iam workload-identity-pools providers "$verb" github --workload-identity-pool=github --location=global \
  --project="$project" --issuer-uri=https://token.actions.githubusercontent.com --attribute-mapping="$mapping" \
  --attribute-condition="$condition"
number=PROJECT_NUMBER
[[ -n $dry_run ]] || number=$(gcloud projects describe "$project" --format="value(projectNumber)" </dev/null)
pool=projects/$number/locations/global/workloadIdentityPools/github
grant gcloud iam service-accounts add-iam-policy-binding "catsdogs-github@$domain" --project="$project" \
  --role=roles/iam.workloadIdentityUser \
  --member="principalSet://iam.googleapis.com/$pool/attribute.repository/$GITHUB_REPOSITORY"

run gcloud container clusters get-credentials "$cluster" --location="$location" --project="$project"
run kubectl apply -f k8s/base/namespace.yaml
secret mlflow-auth username password flask-secret-key
if [[ -n ${MLFLOW_DATABASE_URI:-} ]]; then
  secret mlflow-database uri
fi

# What the overlay gke is filled in with: nothing secret.
settings=k8s/overlays/gke/cluster.env
images=$region-docker.pkg.dev/$project/$registry
if [[ -z $dry_run && ! -e $settings ]]; then
  cat >"$settings.partial" <<S
BUCKET=gs://$bucket
ACCOUNT_DOMAIN=$domain
API_IMAGE=$images/cats-dogs-api:first
TRAINER_IMAGE=$images/catsdogs-trainer:first
MLFLOW_ALLOWED_HOSTS=${MLFLOW_ALLOWED_HOSTS:-mlflow-service:5000,mlflow-service.cats-dogs:5000,localhost:*}
MLFLOW_SOURCE_RANGE=${MLFLOW_SOURCE_RANGE:-127.0.0.1/32}
S
  mv "$settings.partial" "$settings"
  echo "wrote $settings: docs/deploy.md says what to do with it"
fi

cat <<S

GitHub secrets to set (gh secret set NAME --body VALUE); none of these values opens anything by itself:
  GCP_PROJECT_ID=$project
  GCP_WIF_PROVIDER=$pool/providers/github
  GCP_SA_EMAIL=catsdogs-github@$domain
  GCP_BUCKET_NAME=$bucket
  GKE_CLUSTER_NAME=$cluster
  GKE_CLUSTER_LOCATION=$location
  ARTIFACT_REGISTRY_REPO=$registry
  EVAL_BATCH_GCS_URI=${EVAL_BATCH_GCS_URI:-   # optional: without it the pipeline makes the batch from its test split}
MLflow's password: kubectl get secret mlflow-auth --namespace=$namespace -o jsonpath={.data.password} | base64 -d
S
