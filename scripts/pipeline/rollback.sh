#!/usr/bin/env bash
# Undoes the last release: the image that answered before it answers again, and the champion is that model.
#   BUCKET    where the decisions are recorded
#   WHO       who asks for it
#   CLUSTER   kubectl (default) or docker
. "$(dirname "$0")/prelude.sh"
need BUCKET WHO
exec catsdogs rollback --bucket "$BUCKET" --who "$WHO" --cluster "${CLUSTER:-kubectl}"
