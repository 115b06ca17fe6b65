import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from catsdogs.serve.rates import Bucket, Cells
from catsdogs.serve.shared import Shared

RATE, ASKS = 50_000.0, 100_000
ASK = f"""
import json, sys
from pathlib import Path
from catsdogs.serve.rates import Bucket, Cells
from catsdogs.serve.shared import Shared
bucket = Bucket({RATE}, Cells(3, Shared(Path(sys.argv[1]), 0)), 1, now=lambda: 5.0)
print("ready", flush=True)
sys.stdin.read()
print(json.dumps(sum(not bucket.take() for _ in range({ASKS}))))
"""


def test_a_bucket_lets_its_rate_pass() -> None:
    now = 0.0
    bucket = Bucket(4.0, now=lambda: now)
    passed = 0
    for step in range(1000):
        now = step / 100
        passed += not bucket.take()
    assert passed == pytest.approx(8 + 4 * 10, abs=1)


def test_the_photos_of_a_batch_are_owed() -> None:
    bucket = Bucket(1.0, now=lambda: 7.0)
    assert bucket.take() == 0.0
    bucket.owe(3)
    assert bucket.take() == pytest.approx(3.0)  # 2 at once, 4 taken: the next is the fifth


def test_processes_take_from_one_bucket(tmp_path: Path) -> None:
    """Twice as many at once as a second brings pass in all, of two processes that begin together and ask all the while.

    Without the lock both find the same token: instead of 100,000 some 145,000 pass.
    """
    Cells(3, Shared(tmp_path, 1))
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for _ in range(2)]
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
        passed = [json.loads(process.stdout.read()) for process in running if process.stdout is not None]
    assert sum(passed) == 2 * RATE


def test_a_process_with_fewer_keys_takes_nothing_from_the_others(tmp_path: Path) -> None:
    many, few = Cells(500, Shared(tmp_path, 0)), Cells(1, Shared(tmp_path, 1))
    assert Bucket(1.0, many, 499).take() == 0.0 and Bucket(1.0, few, 0).take() == 0.0
    assert (tmp_path / "rates").stat().st_size == 500 * 16
