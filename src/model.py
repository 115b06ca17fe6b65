"""Door: `python src/model.py` is `catsdogs models`."""

import sys

from catsdogs.cli import main

if __name__ == "__main__":
    sys.exit(main(["models", *sys.argv[1:]]))
