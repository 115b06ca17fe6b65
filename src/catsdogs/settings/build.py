"""What an installation is told about itself, because it holds no .git."""

from typing import Annotated

from pydantic import Field

from catsdogs.settings.base import Settings


class BuildSettings(Settings):
    """How this installation was built."""

    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{7,64}(-dirty)?)?$")] = ""
    """Commit that the code was taken from (CATSDOGS_COMMIT, which the images set); a checkout asks git instead."""
