"""Settings of the demo."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from catsdogs.settings.base import Settings, config
from catsdogs.settings.training import Variant


class DemoSettings(Settings):
    """Run the whole chain on drawn or real photos, and print one summary."""

    model_config = config("DEMO")

    photos: Path | None = None
    """Folder or zip of real photos; without it, photos are drawn."""
    work_dir: Path = Path("demo")
    """Folder that everything is written under."""
    image_size: Annotated[int, Field(ge=8, le=2048)] = 64
    """Side of the square photos, in pixels."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """Passes over the training photos (0: 3 to 8, the fewer the more photos there are)."""
    model_variant: Variant = "fast"
    """Network to train."""
