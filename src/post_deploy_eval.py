"""Door: `python src/post_deploy_eval.py` is `catsdogs post-deploy-eval`."""

import sys

from catsdogs.cli import main

if __name__ == "__main__":
    sys.exit(main(["post-deploy-eval", *sys.argv[1:]]))
