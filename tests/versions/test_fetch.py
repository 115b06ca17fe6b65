import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256
from catsdogs.settings.versions import ARCHIVE, FetchSettings
from catsdogs.versions import fetch as fetch_module
from catsdogs.versions.fetch import fetch
from tests.servers import free_port
from tests.versions.folders import blob

DATA = blob(3, 3_000_000)


class Archive(BaseHTTPRequestHandler):
    """Answers ranges, and breaks off after as many bytes as `cuts` says."""

    cuts: list[int] = []
    ranges: list[str | None] = []
    tag = '"one"'
    data = DATA

    def do_GET(self) -> None:
        if self.path != "/archive.zip":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        start = 0
        if wanted and self.headers.get("If-Range") == self.tag:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
        if start > len(self.data):
            self.send_error(416)
            return
        body = self.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.tag)
        self.end_headers()
        self.wfile.write(body[:self.cuts.pop(0)] if self.cuts else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(fetch_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(Archive, "cuts", [])
    monkeypatch.setattr(Archive, "ranges", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/archive.zip"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_goes_on_where_the_connection_broke(archive: str, tmp_path: Path) -> None:
    Archive.cuts = [1_000_000, 500_000]
    result = fetch(FetchSettings(url=archive, output=tmp_path / "new" / "a.zip"))
    assert result.path.read_bytes() == DATA
    assert (result.sha256, result.checked) == (sha256(DATA), False)
    assert "compared with nothing" in result.text()
    assert Archive.ranges == [None, "bytes=1000000-", "bytes=1500000-"]
    assert [path.name for path in result.path.parent.iterdir()] == ["a.zip"]


def test_a_killed_download_goes_on_in_the_next_run(
    archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "ATTEMPTS", 1)
    Archive.cuts = [1_000_000]
    with pytest.raises(CatsdogsError, match="run the same command again, it goes on"):
        fetch(FetchSettings(url=archive, output=tmp_path / "a.zip"))
    assert not (tmp_path / "a.zip").exists()
    assert fetch(FetchSettings(url=archive, output=tmp_path / "a.zip")).path.read_bytes() == DATA
    assert Archive.ranges[-1] == "bytes=1000000-"


def test_a_part_of_another_file_is_not_continued(archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Archive.cuts = [1_000_000]
    monkeypatch.setattr(fetch_module, "ATTEMPTS", 1)
    with pytest.raises(CatsdogsError):
        fetch(FetchSettings(url=archive, output=tmp_path / "a.zip"))
    monkeypatch.setattr(Archive, "tag", '"two"')
    monkeypatch.setattr(Archive, "data", DATA[::-1])
    assert fetch(FetchSettings(url=archive, output=tmp_path / "a.zip")).path.read_bytes() == DATA[::-1]


def test_a_given_digest_is_checked(archive: str, tmp_path: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(CatsdogsError, match=f"has the sha256 {sha256(DATA)}, not {wrong}"):
        fetch(FetchSettings(url=archive, output=tmp_path / "a.zip", sha256=wrong))
    assert not (tmp_path / "a.zip").exists()
    right = FetchSettings(url=archive, output=tmp_path / "b.zip", sha256=sha256(DATA))
    assert fetch(right).checked and fetch(right).checked
    assert len(Archive.ranges) == 2  # what is there is not fetched again


def test_offline_it_says_what_to_do_instead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(tmp_path / "a.zip")]
    assert main(["fetch", "--url", f"http://127.0.0.1:{free_port()}/x", *output]) == 1
    error = capsys.readouterr().err
    assert "cannot be reached" in error and "`catsdogs sample`" in error and "ingest --zip-path" in error
    assert main(["fetch", "--sha256", "abc", *output]) == 2
    assert FetchSettings().url == ARCHIVE and ARCHIVE.startswith("https://download.microsoft.com/")


def test_an_address_without_an_archive(archive: str, tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="answered with 404 .*name another --url"):
        fetch(FetchSettings(url=archive.replace("archive", "other"), output=tmp_path / "a.zip"))
