"""`python -m catsdogs` is `catsdogs`."""

from catsdogs.cli import run

run()
