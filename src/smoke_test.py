"""Door: `python src/smoke_test.py` is `catsdogs smoke-test`."""

import sys

from catsdogs.cli import main

if __name__ == "__main__":
    sys.exit(main(["smoke-test", *sys.argv[1:]]))
