"""`catsdogs verify`: reads every byte of the versions again."""

import time
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.log import progress
from catsdogs.settings.versions import VerifySettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Missing
from catsdogs.versions.commit import resolved
from catsdogs.versions.layout import Layout
from catsdogs.versions.listing import all_manifests
from catsdogs.versions.manifest import Damaged
from catsdogs.versions.ranges import RANGE, Span, key_of, read_large, read_span, spans
from catsdogs.versions.shelf import rows_of
from catsdogs.versions.transfers import Transfers
from catsdogs.versions.tree import PLAIN, Row

SHOWN = 20  # problems a person is shown


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    bucket: str
    versions: int
    contents: int  # read
    size: int
    problems: list[str]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.problems

    def text(self) -> str:
        read = f"{self.contents:,} contents, {self.size / 1e6:,.1f} MB, of {self.versions:,} stages of versions"
        if self.passed:
            return f"verified     {read}: every byte is what was stored ({self.seconds:.1f} s)"
        more = [f"... and {len(self.problems) - SHOWN:,} more"] if len(self.problems) > SHOWN else []
        return "\n".join([f"DAMAGED      {len(self.problems):,} problems in {read}", *self.problems[:SHOWN], *more])

    def data(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}


def verify(settings: VerifySettings) -> VerifyResult:
    """Read what the versions name, each content once, plain copies too. Raises CatsdogsError where there are none."""
    started = time.monotonic()
    store, layout = open_store(settings), Layout(settings.dataset)
    commit = resolved(settings.commit) if settings.commit else None
    chosen = [manifest for manifest in all_manifests(store, layout, settings.transfers, commit)
              if not settings.stage or manifest.stage in settings.stage]
    if not chosen:
        raise CatsdogsError(f"{store.url} has no such version: `catsdogs versions` lists what there is.")
    problems: list[str] = []
    contents: dict[tuple[str, str], Row] = {}  # (pack, digest)
    plain: dict[tuple[str, str], tuple[str, Row]] = {}  # (key, digest)
    for manifest in chosen:
        try:
            rows = rows_of(store, layout, manifest, settings.transfers)
        except CatsdogsError as error:
            problems.append(str(error))
            continue
        prefix = layout.plain(manifest.commit, manifest.stage)
        contents.update(((row.pack, row.digest), row) for row in rows if row.pack != PLAIN)
        if manifest.unpacked:
            copies = [row._replace(pack=PLAIN, offset=0) for row in rows]
            plain.update(((key_of(layout, row, prefix), row.digest), (prefix, row)) for row in copies)
    lock = Lock()

    def read(key: str, span: Span) -> None:
        try:
            if span.length > RANGE:
                read_large(store, key, span.rows[0], lambda start, data: None)
            elif span.length:
                read_span(store, key, span)
            else:
                store.read(key, 0, 1)
        except (Damaged, Missing) as error:
            with lock:
                problems.extend(_singly(error, key, span))
        bar.advance(len(span.rows))

    def _singly(error: CatsdogsError, key: str, span: Span) -> list[str]:
        """Which of a span's files are bad: the first is known, the others are read one by one."""
        if isinstance(error, Missing) or len(span.rows) == 1:
            return [str(error)]
        found = []
        for row in span.rows:
            try:
                if row.length:
                    read_span(store, key, Span([row]))
            except (Damaged, Missing) as single:
                found.append(str(single))
        return found

    with progress("verify", len(contents) + len(plain), unit="files") as bar, \
            Transfers(settings.transfers, waiting=settings.transfers) as pool:
        for span in spans(contents.values()):
            pool.start(read, layout.pack(span.rows[0].pack), span)
        for (key, _), (_, row) in plain.items():
            pool.start(read, key, Span([row]))
    size = sum(row.length for row in contents.values()) + sum(row.length for _, row in plain.values())
    return VerifyResult(bucket=store.url, versions=len(chosen), contents=len(contents) + len(plain), size=size,
                        problems=sorted(set(problems)), seconds=time.monotonic() - started)
