#!/usr/bin/env bash
# Undoes the last release: the image that answered before it answers again, and its model is the champion.
#   BUCKET    where champion and decisions are recorded
#   WHO       who asks for it, for the record
#   WHY       why, in a few words
#   CLUSTER   kubectl (default), or docker: containers behind a proxy on this machine
. "$(dirname "$0")/prelude.sh"
need BUCKET WHO
exec catsdogs rollback --bucket "$BUCKET" --who "$WHO" --why "${WHY:-asked for by hand}" --cluster "${CLUSTER:-kubectl}"
