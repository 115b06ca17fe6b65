"""Door: `python src/preprocessing.py` is `catsdogs preprocess`."""

import sys

from catsdogs.cli import main

if __name__ == "__main__":
    sys.exit(main(["preprocess", *sys.argv[1:]]))
