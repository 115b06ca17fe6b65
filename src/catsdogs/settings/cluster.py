"""What Ray reads from the environment, of which its processes take a copy."""

import os


def keep_to_itself() -> None:
    """No usage statistics to Ray's makers; no warning that it sets accelerator variables, which are none of ours."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
