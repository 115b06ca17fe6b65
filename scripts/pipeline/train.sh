#!/usr/bin/env bash
# Runs the training Job of k8s/ for one commit and waits for its end: raw photos of the bucket -> data version, model and
# metrics in the bucket, judged by the gate. The Job itself recognises unchanged data, code and parameters. Exit 1 where
# the Job fails or its gate says no; the log's end says why.
#   COMMIT              the commit that TRAINER_IMAGE was built from
#   TRAINER_IMAGE       image of the trainer, by digest
#   BUCKET              address of the bucket
#   CLUSTER             kubectl (default): a Job in the namespace cats-dogs. docker: the same command on this machine
#   JOB_ENV_FILE        with docker: file of NAME=value lines for the container, in place of the cluster's settings
#   GKE_CLUSTER_NAME    with kubectl: whose credentials to renew while the Job runs (see connect.sh)
#   REFRESH_SECONDS     with kubectl: how often (600); POLL_SECONDS: how often to look (15); SILENT_SECONDS: how long the
#                       cluster may tell nothing of the Job (1800), because it does not answer or somebody deleted it
. "$(dirname "$0")/prelude.sh"
need COMMIT TRAINER_IMAGE BUCKET

if [[ ${CLUSTER:-kubectl} == docker ]]; then
  need JOB_ENV_FILE
  mapfile -t arguments < <(python scripts/pipeline/job_arguments.py)
  exec docker run --rm --network host --read-only --tmpfs /tmp --shm-size 1g --cap-drop ALL \
    --security-opt no-new-privileges --env-file "$JOB_ENV_FILE" --env "CATSDOGS_BUCKET=$BUCKET" \
    --env HOME=/tmp --workdir /app/data "$TRAINER_IMAGE" "${arguments[@]}"
fi

job=production-train-job namespace=cats-dogs
scripts/pipeline/connect.sh
# Only the Job is applied from here, so the overlay's other values may be those of its example.
if [[ ! -e k8s/overlays/gke/cluster.env ]]; then
  sed -e "s|^TRAINER_IMAGE=.*|TRAINER_IMAGE=$TRAINER_IMAGE|" -e "s|^BUCKET=.*|BUCKET=$BUCKET|" \
    k8s/overlays/gke/cluster.env.example >k8s/overlays/gke/cluster.env
  trap 'rm -f k8s/overlays/gke/cluster.env' EXIT
fi
# A Job cannot be changed; the one of the last commit has ended, because the workflow runs one at a time.
kubectl delete job "$job" --namespace "$namespace" --ignore-not-found --wait
kubectl apply --kustomize k8s/overlays/gke --selector "app.kubernetes.io/name=$job"

refreshed=$SECONDS told=$SECONDS
while true; do
  # A cluster that does not answer for a moment is asked again; the Job's own deadline ends the wait.
  if state=$(kubectl get job "$job" --namespace "$namespace" --request-timeout 30s --output \
    'jsonpath={range .status.conditions[?(@.status=="True")]}{.type}={.reason} {end}'); then
    told=$SECONDS
  elif ((SECONDS - told >= ${SILENT_SECONDS:-1800})); then
    say "The cluster has told nothing of the training Job of $COMMIT for $((SECONDS - told)) s: nothing is released."
    exit 1
  fi
  case " $state" in
    *" Complete="* | *" SuccessCriteriaMet="*) verdict=0; break ;;
    *" Failed="* | *" FailureTarget="*) verdict=1; break ;;
  esac
  if ((SECONDS - refreshed >= ${REFRESH_SECONDS:-600})); then
    scripts/pipeline/connect.sh
    refreshed=$SECONDS
  fi
  sleep "${POLL_SECONDS:-15}"
done
kubectl logs "job/$job" --namespace "$namespace" --tail 60 || say "The Job's log cannot be read any more."
((verdict == 0)) || say "The training Job of $COMMIT failed ($state): nothing is released."
exit "$verdict"
