"""What everybody who talks to an MLflow server needs: is it there, and what may be said of its answers?"""

import logging
import os
import re
import urllib.error
import urllib.request
import warnings
from typing import Any

PROBE_SECONDS = 3.0
NOTHING = "none"
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a link there would spoil the output of --json
}


def probe(uri: str) -> None:
    """Find out in seconds, not in MLflow's minutes of retries, that a server is away."""
    if uri.startswith(("http://", "https://")):
        try:
            # urllib takes a password in an address for a part of the host's name
            address = without_password(uri).rstrip("/")
            urllib.request.urlopen(f"{address}/health", timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise
            error.close()  # 401 and the like: somebody is there, and MLflow knows the credentials


def client(uri: str) -> Any:
    """MLflow's client for a server or a database, quiet and quick to give up; it asks nobody anything yet.

    Raises ModuleNotFoundError where MLflow is not installed.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own dependencies
        import mlflow

        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def first_line(error: BaseException) -> str:
    return without_password(str(error).strip().split("\n")[0])[:200] or type(error).__name__


def without_password(text: str) -> str:
    """`text` without the `user:password@` of any address in it."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)
