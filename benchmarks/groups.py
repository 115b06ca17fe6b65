"""How the sequential part of ingest grows: groups of look-alikes among N photos, from synthetic hashes.

`python benchmarks/groups.py 10000 100000 1000000`. The pixel comparisons that candidates ask for are not in it. Where
all against all would take longer than --seconds, a sample of blocks is timed and scaled; the table says so.
"""

import argparse
import random
import resource
import time

import numpy as np

from catsdogs.alike import BLOCK, CANDIDATE_BITS
from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.ingest.decide import decide

BITS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest run of all against all")
    arguments = parser.parse_args()
    print("| photos | decide without pixels | all against all, candidates | candidate pairs | memory of the rows |")
    print("| --- | --- | --- | --- | --- |")
    for count in arguments.counts:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = synthetic(count)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        started = time.perf_counter()
        decide([], rows, bits=BITS, max_per_class=None)
        decided = time.perf_counter() - started
        pairs, seconds, share = candidates([int(row.phash, 16) for row in rows], arguments.seconds)
        how = "" if share == 1 else f" (extrapolated from {share:.1%} of it)"
        print(f"| {count:,} | {decided:.1f} s | {seconds:.1f} s{how} | {pairs:,.0f} | {memory / 1e3:.0f} MB |",
              flush=True)


def synthetic(count: int) -> list[ManifestRow]:
    generator = random.Random(0)
    return [ManifestRow(
        digest=f"{generator.getrandbits(256):064x}", source=f"Cat/{number}.jpg", label=("cat", "dog")[number % 2],
        format="JPEG", width=180, height=180, phash=f"{generator.getrandbits(64):016x}", group="",
        verdict=Verdict.KEPT, reason="") for number in range(count)]


def candidates(values: list[int], longest: float) -> tuple[float, float, float]:
    """Pairs, seconds and the share that was really computed, as `alike.near_pairs` computes them: half of the square
    on average, block by block."""
    hashes = np.array(values, dtype=np.uint64)
    blocks = list(range(0, len(hashes), BLOCK))
    random.Random(1).shuffle(blocks)
    found, work, done, started = 0, 0.0, 0, time.perf_counter()
    for start in blocks:
        end = min(start + BLOCK, len(hashes))
        distances = np.bitwise_count(hashes[start:end, None] ^ hashes[None, :end])
        rows, columns = np.nonzero((distances >= BITS + 1) & (distances <= CANDIDATE_BITS))
        found += int((columns < rows + start).sum())
        work += (end - start) * end
        done += 1
        if time.perf_counter() - started > longest:
            break
    seconds = time.perf_counter() - started
    share = work / sum((min(start + BLOCK, len(hashes)) - start) * min(start + BLOCK, len(hashes)) for start in blocks)
    return found / share, seconds / share, 1.0 if done == len(blocks) else share


if __name__ == "__main__":
    main()
