"""Every knob is declared once, in this package: a field is a flag, an environment variable, a default and its help.

The only part that reads the environment.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def seconds(value: object) -> object:
    """`90`, `90s`, `5m`, `1h30m` in seconds. Raises ValueError for other text."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", value.strip())
    if not value.strip() or found is None:
        raise ValueError("give a duration such as 90s, 5m or 1h30m")
    hours, minutes, rest = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + rest


Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0)]


def config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=f"CATSDOGS_{prefix}_" if prefix else "CATSDOGS_",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        use_attribute_docstrings=True,
        defer_build=True,  # validators of the classes that this command does not use take 20 ms
        frozen=True,
        extra="ignore",
        protected_namespaces=(),
    )


class Settings(BaseSettings):
    """What every command's settings have in common."""

    model_config = config("")


def explain_invalid(error: ValidationError) -> str:
    """One sentence about the first flag or variable that does not fit."""
    first = error.errors()[0]
    flag = "--" + str(first["loc"][0]).replace("_", "-").lower()
    return f"{flag} {first['input']}: {first['msg'][:1].lower()}{first['msg'][1:]}."
