#!/usr/bin/env bash
# build.sh NAME DOCKERFILE [FLAG...]: builds NAME:$COMMIT. With a registry, pushes it and prints its digest;
# the layers of the last push are the cache of the next build.
. "$(dirname "$0")/prelude.sh"
need COMMIT
name=$1 dockerfile=$2
shift 2
export DOCKER_BUILDKIT=1
# What a machine with another base image, or the repository's address, may set.
for argument in BASE_IMAGE SOURCE; do
  if [[ -n ${!argument:-} ]]; then set -- "$@" --build-arg "$argument=${!argument}"; fi
done
if [[ -z ${ARTIFACT_REGISTRY_REPO:-} ]]; then
  docker build --file "$dockerfile" --tag "$name:$COMMIT" "$@" .
  output image "$name:$COMMIT"
  exit
fi
repository=$(registry)/$name
docker build --file "$dockerfile" --tag "$repository:$COMMIT" --tag "$repository:cache" \
  --cache-from "$repository:cache" --build-arg BUILDKIT_INLINE_CACHE=1 "$@" .
docker push --quiet "$repository:$COMMIT"
docker push --quiet "$repository:cache"
# A tag may move; what was just pushed is named by its digest from here on.
digest=
while read -r pushed; do
  if [[ $pushed == "$repository@"* ]]; then digest=${pushed#*@}; fi
done < <(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$repository:$COMMIT")
[[ $digest == sha256:* ]] || { say "$repository:$COMMIT was pushed, but docker names no digest of it."; exit 1; }
output image "$repository@$digest"
