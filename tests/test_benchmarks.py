"""Benchmarks are run by hand, and seldom: what they import must still be there."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_every_benchmark_finds_what_it_imports() -> None:
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    assert "race" in names
    code = f"import {', '.join(names)}"
    answer = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr


def test_quick_probes_count_only_where_uploads_are_answered() -> None:
    """A server that refuses every upload answers its probes in no time."""
    good = {"p99_ms": 20.0, "bad": 0, "answered": 400, "refused": 7, "broken": 0}
    rounds = [[good, good], [good, good | {"answered": 0, "refused": 900}], [good | {"broken": 1}], [good | {"bad": 1}],
              [good | {"p99_ms": 51.0}]]
    code = f"import json, report; print(json.dumps([report.probed(rows) for rows in {rounds}]))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, timeout=120)
    said = json.loads(answer.stdout)
    assert [reached for _, reached in said] == [True, False, False, False, False]
    assert said[1][0] == "20.0 ms, 0 bad; uploads: 400 answered, 907 refused, 0 broken"
