"""What the environment says of the way to a bucket: keys, proxies, certificates."""

import os
from dataclasses import dataclass
from pathlib import Path

# Any of these means that more than plain variables decides: botocore knows how.
BEYOND = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CREDENTIAL_EXPIRATION", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}


@dataclass(frozen=True)
class AmazonVariables:
    """All that is to be known of Amazon, where variables say it."""

    access_key: str
    secret_key: str
    token: str | None
    region: str | None
    endpoint: str | None

    def __repr__(self) -> str:
        return f"AmazonVariables({self.access_key[:4]}…)"  # a secret belongs in no log


def amazon_variables() -> AmazonVariables | None:
    """None where there are no keys in the environment, or where a profile or a file may say more than it does."""
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret or any(os.environ.get(name) for name in BEYOND):
        return None
    if any(Path(os.environ.get(name, usual)).expanduser().exists() for name, usual in FILES.items()):
        return None
    return AmazonVariables(
        access, secret, token=os.environ.get("AWS_SESSION_TOKEN") or os.environ.get("AWS_SECURITY_TOKEN"),
        region=os.environ.get("AWS_DEFAULT_REGION"),
        endpoint=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
    )


def proxy_for(url: str) -> str | None:
    """The proxy that `https_proxy` and its kin name for this address, unless `no_proxy` exempts it."""
    if not any(name.lower().endswith("_proxy") and value for name, value in os.environ.items()):
        return None  # the usual case, without an import of 10 ms
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    return None if proxy_bypass(parts.netloc) else proxies.get(parts.scheme) or proxies.get("all")


def certificates() -> str | None:
    """The bundle of authorities that the environment names, by the variables that requests and botocore obey."""
    names = ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return next((value for name in names if (value := os.environ.get(name))), None)
