#!/usr/bin/env bash
# Releases an image: a candidate without traffic, smoke test, gate on the evaluation batch, traffic, watch. Exit 1 where
# it was refused or taken back; users are then answered by what answered before. Prints address=<where users ask>.
#   API_IMAGE   image to release, by digest
#   COMMIT      the commit whose model the image holds; models/model.onnx is that model
#   BUCKET      where champion and decisions are recorded
#   WHO         who asks for it, for the record
#   CLUSTER     kubectl (default), or docker: containers behind a proxy on this machine
#   every setting of `catsdogs release --help` as CATSDOGS_RELEASE_<NAME>
. "$(dirname "$0")/prelude.sh"
need API_IMAGE COMMIT BUCKET WHO

mkdir -p artifacts
status=0
catsdogs release --image "$API_IMAGE" --commit "$COMMIT" --bucket "$BUCKET" --who "$WHO" --why "push of $COMMIT" \
  --cluster "${CLUSTER:-kubectl}" --output-json artifacts/release_gate.json --json >artifacts/release.json || status=$?
cat artifacts/release.json
if ((status == 0)); then
  output address "$(python -c 'import json, sys; print(json.load(sys.stdin)["public_address"])' <artifacts/release.json)"
elif grep -q '"decision"' artifacts/release.json; then
  python -c 'import json, sys; print("refused:", *json.load(sys.stdin)["decision"]["reasons"], sep="\n  ")' \
    <artifacts/release.json >&2
fi
exit "$status"
