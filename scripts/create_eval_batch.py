"""Door: `python scripts/create_eval_batch.py` is `catsdogs eval-batch`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from catsdogs.cli import main  # noqa: E402  the line above makes it importable in a checkout that is not installed

if __name__ == "__main__":
    sys.exit(main(["eval-batch", *sys.argv[1:]]))
