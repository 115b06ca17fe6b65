"""`catsdogs fetch`: Microsoft's archive, for whoever is online."""

import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256_file
from catsdogs.log import progress
from catsdogs.settings.versions import FetchSettings

PIECE = 1 << 18
ATTEMPTS = 8
FIRST_PAUSE = 0.5  # seconds; doubles
OFFLINE = ("put an archive or folder with one folder per class there yourself and run `catsdogs ingest --zip-path` or "
           "`--source-dir` on it, or draw photos with `catsdogs sample`")


@dataclass(frozen=True, kw_only=True)
class FetchResult:
    path: Path
    size: int
    sha256: str
    checked: bool  # against a digest that was given
    seconds: float

    def text(self) -> str:
        checked = "as expected" if self.checked else "compared with nothing: keep it, and give it as --sha256 next time"
        return "\n".join([
            f"fetched      {self.path}, {self.size / 1e6:,.1f} MB in {self.seconds:.1f} s",
            f"sha256       {self.sha256} ({checked})",
            f"next         catsdogs ingest --zip-path {self.path}",
        ])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def fetch(settings: FetchSettings) -> FetchResult:
    """Download the archive, or go on with an earlier download. Raises CatsdogsError offline, and for a wrong digest."""
    started = time.monotonic()
    path = settings.output
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _download(settings, part)
        _check(part, settings.sha256)
        part.replace(path)
    digest = _check(path, settings.sha256)
    return FetchResult(path=path, size=path.stat().st_size, sha256=digest, checked=bool(settings.sha256),
                       seconds=time.monotonic() - started)


def _check(path: Path, wanted: str) -> str:
    digest = sha256_file(path)
    if wanted and digest != wanted:
        raise CatsdogsError(f"{path} has the sha256 {digest}, not {wanted}: delete it and fetch again, or mend "
                            "--sha256.")
    return digest


def _download(settings: FetchSettings, part: Path) -> None:
    tag = part.with_name(part.name + ".etag")  # a part of another file must not be continued
    reason: object = ""
    for attempt in range(ATTEMPTS):
        time.sleep(min(FIRST_PAUSE * 2**attempt, 20.0) if attempt else 0)
        before = part.stat().st_size if part.exists() and tag.exists() else 0
        try:
            if _piecewise(settings, part, tag, before):
                tag.unlink(missing_ok=True)
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # longer than the whole: begin anew
                part.unlink()
                tag.unlink()
            elif error.code not in (408, 416, 429, 500, 502, 503, 504):
                raise CatsdogsError(f"{settings.url} was answered with {error.code} {error.reason}: name another "
                                    f"--url, or {OFFLINE}.") from None
            reason = error
        except urllib.error.URLError as error:
            if not before:
                raise CatsdogsError(f"{settings.url} cannot be reached ({error.reason}): {OFFLINE}.") from None
            reason = error.reason
        except (TimeoutError, ConnectionError) as error:
            reason = error
    raise CatsdogsError(f"{settings.url} could not be read to its end ({reason}): run the same command again, it goes "
                        f"on where this stopped; or {OFFLINE}.")


def _piecewise(settings: FetchSettings, part: Path, tag: Path, before: int) -> bool:
    """Append what comes; whether that was all."""
    request = urllib.request.Request(settings.url)
    if before:
        request.add_header("Range", f"bytes={before}-")
        request.add_header("If-Range", tag.read_text())
    with urllib.request.urlopen(request, timeout=settings.stall_seconds) as answer:
        if answer.status != 206:
            before = 0
        length = before + int(answer.headers.get("Content-Length") or 0)
        if mark := answer.headers.get("ETag") or answer.headers.get("Last-Modified"):
            tag.write_text(mark)
        with part.open("ab" if before else "wb") as file, \
                progress("fetch", length // 1_000_000, unit="MB") as bar:
            done = before
            bar.advance(done // 1_000_000)
            while piece := answer.read1(PIECE):
                file.write(piece)
                bar.advance((done + len(piece)) // 1_000_000 - done // 1_000_000)
                done += len(piece)
    return done == length or "Content-Length" not in answer.headers
