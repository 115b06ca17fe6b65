"""Who we are to S3, and its signature on a request.

botocore finds credentials in profiles, roles and files, and refreshes them. It is not imported where plain variables
say all there is to know, and signs nothing: importing it takes 0.23 s, half of what an unchanged push may take.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from catsdogs.errors import CatsdogsError
from catsdogs.settings.network import amazon_variables
from catsdogs.stores.http import Passing

PORTS = {"http": ":80", "https": ":443"}  # which no Host header names


class Keys(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


class Amazon:
    """Region, endpoint (None: Amazon's own) and keys. Raises CatsdogsError where there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # refreshing credentials
        self._credentials: Any = None
        if variables := amazon_variables():
            self._keys = Keys(variables.access_key, variables.secret_key, variables.token)
            self.region, self.endpoint = variables.region or "us-east-1", variables.endpoint
        else:
            self._ask_botocore()

    def _ask_botocore(self) -> None:
        from botocore.configprovider import ConfiguredEndpointProvider
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        session = Session()
        try:
            self.region = session.get_config_variable("region") or "us-east-1"
            self._credentials = session.get_credentials()
            self.endpoint = ConfiguredEndpointProvider(
                full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3").provide()
        except BotoCoreError as error:
            raise CatsdogsError(f"The AWS configuration cannot be read: {error}") from None
        if self._credentials is None:
            raise CatsdogsError("No AWS credentials: run `aws configure`, or set AWS_ACCESS_KEY_ID and "
                                "AWS_SECRET_ACCESS_KEY.")

    def keys(self) -> Keys:
        """Fresh ones. Raises Passing where they could not be refreshed now."""
        if self._credentials is None:
            return self._keys
        from botocore.exceptions import BotoCoreError

        with self._lock:
            try:
                frozen = self._credentials.get_frozen_credentials()
            except BotoCoreError as error:
                raise Passing(f"the AWS credentials could not be refreshed: {error}") from None
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)


def signed(method: str, url: str, headers: Mapping[str, str], digest: str, keys: Keys, region: str,
           at: float | None = None) -> dict[str, str]:
    """`headers` and those that prove who sends them: AWS Signature Version 4, of a body with this sha256.

    `url` must be quoted and its query sorted, as S3Store writes it. `at`: seconds since 1970 (default: now).
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    parts = urlsplit(url)
    sent = dict(headers) | {"X-Amz-Date": stamp, "X-Amz-Content-SHA256": digest}
    if keys.token:
        sent["X-Amz-Security-Token"] = keys.token
    covered = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    covered["host"] = parts.netloc.removesuffix(PORTS.get(parts.scheme, ""))
    names = ";".join(sorted(covered))
    lines = "".join(f"{name}:{covered[name]}\n" for name in sorted(covered))
    request = "\n".join([method, parts.path or "/", parts.query, lines, names, digest])
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    message = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, message.encode(), "sha256").hex()
    sent["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={names}, "
                             f"Signature={signature}")
    return sent
