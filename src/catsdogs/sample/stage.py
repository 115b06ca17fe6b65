"""Draws a folder of labelled photos, faults included, to try everything with."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.files import atomic_write, claim_output, remove_partials, write_bytes
from catsdogs.log import progress
from catsdogs.pool import chunked, in_processes
from catsdogs.sample.faults import planted
from catsdogs.sample.look import Random
from catsdogs.sample.picture import ANIMALS, draw_jpeg, random_for
from catsdogs.settings.data import SampleSettings

MARK = ".catsdogs-sample"
PLANTED = "planted.csv"
CHUNK = 16


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    output_dir: Path
    pictures: dict[str, int]
    planted: dict[str, int]
    seconds: float

    def text(self) -> str:
        drawn = "  ".join(f"{label}: {count:,}" for label, count in self.pictures.items())
        faults = ", ".join(f"{count} {kind}" for kind, count in self.planted.items())
        return "\n".join([
            f"drawn        {drawn}  -> {self.output_dir} ({self.seconds:.0f} s)",
            f"planted      {faults} (listed in {PLANTED})",
        ])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def sample(settings: SampleSettings) -> SampleResult:
    """Draw what is missing; the same seed and size give the same bytes, in one go or in several."""
    started = time.monotonic()
    output = settings.output_dir
    claim_output(output, MARK)
    remove_partials(output)
    seed = settings.seed

    def random_of(label: str, number: int) -> Random:
        return random_for(seed, label, number)

    todo = [
        (label, number) for label in ANIMALS for number in range(settings.per_class)
        if not _path(output, label, number).exists()
    ]
    with progress("sample", len(todo)) as bar:
        for count in in_processes(_draw, (output, seed), chunked(todo, CHUNK)):
            bar.advance(count)
    faults = list(planted(settings.per_class, lambda label, number: _path(output, label, number % settings.per_class)
                          .read_bytes(), random_of))
    for fault in faults:
        path = output / fault.label.capitalize() / fault.name
        if not path.exists():
            write_bytes(path, fault.made())
    with atomic_write(output / PLANTED, "w", encoding="utf-8") as file:
        file.write("path,kind\n")
        file.writelines(f"{fault.label.capitalize()}/{fault.name},{fault.kind}\n" for fault in faults)
    return SampleResult(
        output_dir=output, pictures=dict.fromkeys(ANIMALS, settings.per_class),
        planted=dict(Counter(fault.kind for fault in faults)), seconds=time.monotonic() - started,
    )


def _draw(shared: tuple[Path, int], todo: Sequence[tuple[str, int]]) -> int:
    output, seed = shared
    for label, number in todo:
        write_bytes(_path(output, label, number), draw_jpeg(label, random_for(seed, label, number)))
    return len(todo)


def _path(output: Path, label: str, number: int) -> Path:
    return output / label.capitalize() / f"{number + 1:04}.jpg"
