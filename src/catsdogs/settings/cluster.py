"""What Ray reads from the environment, of which its processes take a copy."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

TOKEN = "RAY_AUTH_TOKEN"


def keep_to_itself() -> None:
    """No usage statistics to Ray's makers; no warning that it sets accelerator variables, which are none of ours;
    patience with a busy machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # On a busy machine Ray gives up its own processes too early: 30 s to start, 15 s without a sign of life.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    os.environ.setdefault("RAY_health_check_failure_threshold", "40")


@contextmanager
def own_token() -> Iterator[None]:
    """A token that nobody else knows, for a cluster of this process alone: Ray would write one to the home folder."""
    before = os.environ.get(TOKEN)
    os.environ[TOKEN] = secrets.token_hex(32)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(TOKEN, None)
        else:
            os.environ[TOKEN] = before
