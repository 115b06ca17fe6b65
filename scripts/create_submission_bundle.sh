#!/usr/bin/env bash
# Door: `./scripts/create_submission_bundle.sh` is `catsdogs bundle`; --check tries the bundle out elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
if [[ -x .venv/bin/python ]]; then python=.venv/bin/python; fi
PYTHONPATH=src exec "$python" -m catsdogs bundle "$@"
