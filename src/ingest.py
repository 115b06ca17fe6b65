"""Door: `python src/ingest.py` is `catsdogs ingest`."""

import sys

from catsdogs.cli import main

if __name__ == "__main__":
    sys.exit(main(["ingest", *sys.argv[1:]]))
