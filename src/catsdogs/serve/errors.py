"""What the service refuses, as a status, a reason for the metrics, and one sentence."""

from collections.abc import Mapping


class Refused(Exception):
    """Ends a request with an HTTP status. `reason` is a short slug with few possible values."""

    def __init__(self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail
        self.headers = dict(headers or {})
