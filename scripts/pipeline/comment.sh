#!/usr/bin/env bash
# One comment on the pull request that brought a commit to main: the verdict, the summary, and where the run is.
#   COMMIT, REPOSITORY (owner/name), RUN_URL, GH_TOKEN
#   RESULT   of the release job: success, failure, cancelled or skipped
. "$(dirname "$0")/prelude.sh"
need COMMIT REPOSITORY RUN_URL RESULT GH_TOKEN

number=$(gh api "repos/$REPOSITORY/commits/$COMMIT/pulls" --jq 'map(select(.merged_at))[0].number // empty')
if [[ -z $number ]]; then
  say "No merged pull request brought $COMMIT: nobody to tell."
  exit
fi
case $RESULT in
  success) verdict="is released: every answer now comes from it" ;;
  failure) verdict="was refused or rolled back: users are still answered by the model before it" ;;
  *) verdict="was not released: an earlier job failed, and nothing changed" ;;
esac
{
  printf 'Commit %s %s ([run](%s)).\n\n' "$COMMIT" "$verdict" "$RUN_URL"
  if [[ -f artifacts/summary.md ]]; then cat artifacts/summary.md; fi
} | gh pr comment "$number" --repo "$REPOSITORY" --body-file -
