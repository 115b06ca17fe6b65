"""Our signature is botocore's, and botocore is asked wherever variables do not say all."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from catsdogs.files import sha256
from catsdogs.settings.network import amazon_variables
from catsdogs.stores.amazon import Amazon, Keys, signed
from catsdogs.stores.s3 import S3Store

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION",
         "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no variable of Amazon's but two keys."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    return tmp_path


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize(("method", "key", "query", "headers", "body"), [
    ("GET", "datasets/cats-dogs/c1/ingested/manifest.json", None, {}, b""),
    ("GET", None, {"list-type": "2", "prefix": "datasets/cats dogs/", "encoding-type": "url",
                   "continuation-token": "1/=+ab~"}, {}, b""),
    ("PUT", "odd/кіт & dog?+%20(1)~.tar", None, {"If-None-Match": "*", "x-amz-checksum-sha256": "abc=",
                                                 "Content-Type": "application/octet-stream"}, b"some bytes"),
    ("GET", "a", None, {"Range": "bytes=5-9"}, b""),
])
def test_a_signature_is_what_botocore_makes_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, method: str, key: str | None, query: dict[str, str] | None,
    headers: dict[str, str], body: bytes, token: str | None,
) -> None:
    for endpoint in ("http://127.0.0.1:9000", "https://storage.example.org:443", ""):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        url = S3Store("photos", "in/side", 4, 30.0)._address(key, query)
        ours = signed(method, url, headers, sha256(body), Keys("AKID", "secret/key", token), "eu-west-3")
        request = AWSRequest(method=method, url=url, headers=headers, data=body)
        moment = ours["X-Amz-Date"]
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, moment=moment: _parsed(moment))
        theirs = _Plain(Credentials("AKID", "secret/key", token), "s3", "eu-west-3")
        theirs.add_auth(request)
        assert request.headers["X-Amz-Date"] == moment
        assert ours["Authorization"] == request.headers["Authorization"]


class _Plain(S3SigV4Auth):  # type: ignore[misc]
    def _should_sha256_sign_payload(self, request: AWSRequest) -> bool:
        return True  # over https, botocore may leave it out


def _parsed(stamp: str) -> object:
    from datetime import datetime, timezone

    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)


def test_plain_variables_need_no_botocore(home: Path) -> None:
    code = ("import sys\nfrom catsdogs.settings.versions import BucketSettings\n"
            "from catsdogs.storage import open_store\n"
            "open_store(BucketSettings(bucket='s3://b'))\nprint([m for m in sys.modules if m.startswith('botocore')])")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_what_variables_say(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Amazon().region, Amazon().endpoint) == ("us-east-1", None)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://one")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://two")
    amazon = Amazon()
    assert (amazon.region, amazon.endpoint, amazon.keys().token) == ("eu-west-1", "http://two", "token")
    assert "wJalr" not in repr(amazon_variables())


def test_files_and_profiles_are_botocores_to_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default]\nregion = ap-south-1\nendpoint_url = http://files\n"
                                          "[profile other]\nregion = sa-east-1\n"
                                          "aws_access_key_id = FILE\naws_secret_access_key = x\n")
    assert (Amazon().region, Amazon().endpoint) == ("ap-south-1", "http://files")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert (Amazon().region, Amazon().keys().access_key) == ("sa-east-1", "FILE")


def test_the_time_of_a_signature_is_now(home: Path) -> None:
    stamp = signed("GET", "http://h/b/k", {}, sha256(b""), Keys("a", "b", None), "r")["X-Amz-Date"]
    seconds = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
    assert abs(seconds - time.time()) < 60
