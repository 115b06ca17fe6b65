#!/usr/bin/env bash
# Tells a pull request what became of it: lint, tests and build, and the figures of the small model that the build made.
# One comment, brought up to date by every push.
#   COMMIT, NUMBER (of the pull request), REPOSITORY (owner/name), RUN_URL, GH_TOKEN
#   LINT, TESTS, BUILD   results of the jobs: success, failure, cancelled or skipped
. "$(dirname "$0")/prelude.sh"
need COMMIT NUMBER REPOSITORY RUN_URL LINT TESTS BUILD GH_TOKEN

{
  printf 'Commit %s ([run](%s)).\n\n| lint | tests | images |\n| --- | --- | --- |\n| %s | %s | %s |\n\n' \
    "$COMMIT" "$RUN_URL" "$LINT" "$TESTS" "$BUILD"
  if [[ -f artifacts/summary.md ]]; then
    printf 'A small model on drawn photos shows that the chain works, not how good a model gets: main trains it.\n\n'
    cat artifacts/summary.md
  fi
} | gh pr comment "$NUMBER" --repo "$REPOSITORY" --edit-last --create-if-none --body-file -
