#!/usr/bin/env bash
# Builds the serving image around models/model.pt and models/model.onnx; pushes it where a registry is named. The build
# checks that the model answers its golden photos. Prints image=<name>, by digest once it is pushed.
#   COMMIT                              the commit that the code comes from
#   ARTIFACT_REGISTRY_REPO              as for build_trainer.sh
. "$(dirname "$0")/prelude.sh"
need COMMIT
for file in models/model.pt models/model.onnx; do
  [[ -s $file ]] || { say "$file is missing: scripts/pipeline/fetch_model.sh or small_model.sh brings it."; exit 1; }
done
read -r digest _ < <(sha256sum models/model.pt)
exec scripts/pipeline/build.sh cats-dogs-api Dockerfile.serve --build-arg "COMMIT=$COMMIT" \
  --build-arg "MODEL_DIGEST=sha256:$digest"
