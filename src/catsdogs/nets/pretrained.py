"""`pretrained:<hub name or folder>`: a backbone that was trained on many photos, with a head of our own.

`pretrained:efficientnet-lite0` needs no hub: a package of the Python index holds its weights (lite0.py).
"""

import logging
import warnings
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.nets import lite0
from catsdogs.nets.network import Kinds, Network
from catsdogs.settings.training import LITE0

PREFIX = "pretrained:"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what most backbones were trained with, should theirs not say
KINDS = "kinds"  # in a description: how many the backbone was trained to tell apart
PROBE_SIDE = 64  # for backbones that take photos of any size


class Pretrained(Network):
    """A backbone of transformers, or one that answers alike; normalised means of its last feature maps; linear.

    `description` is what it takes to build the same network again without its weights: plain values.
    """

    def __init__(
        self, backbone: nn.Module, description: dict[str, Any], classes: int,
        mean: tuple[float, ...] = IMAGENET[0], deviation: tuple[float, ...] = IMAGENET[1],
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.description, self.kinds = backbone, description, kinds
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))  # buffers: model.pt carries them
        self.register_buffer("deviation", 255 * torch.tensor(deviation).view(1, 3, 1, 1))
        channels = self._channels()
        self.head: nn.Sequential = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, classes))

    def train(self, mode: bool = True) -> Self:
        """Its backbone stays as it answers: what normalises it and what it would drop were settled in its training."""
        super().train(mode)
        self.backbone.eval()
        return self

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.permute(0, 3, 1, 2).to(torch.float32) - self.mean) / self.deviation

    def maps(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        """The last feature maps, [n, channels, height, width]; a transformer's patches are laid out as they lie."""
        values: torch.Tensor = self.backbone(pixel_values=self.scaled(pixels)).last_hidden_state
        if values.dim() == 4:
            return values
        side = int(values.shape[1] ** 0.5)  # beside the patches there may be a token for the class, and others
        patches = values[:, values.shape[1] - side * side:].transpose(1, 2)
        return patches.reshape(patches.shape[0], patches.shape[1], side, side)

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean(dim=(2, 3))

    def evidence(self, maps: torch.Tensor) -> torch.Tensor:
        """The normalisation divides by one number a photo, so that places add up before it as they do after it."""
        norm, linear = self.head.children()
        assert isinstance(norm, nn.LayerNorm) and isinstance(linear, nn.Linear)
        deviation = (self.pooled(maps).var(dim=1, unbiased=False) + norm.eps).sqrt()
        weights = (linear.weight * norm.weight)[:, :, None, None]
        places = maps.shape[2] * maps.shape[3]
        centred = maps - maps.mean(dim=1, keepdim=True)
        return functional.conv2d(centred, weights) / deviation[:, None, None, None] / places

    @property
    def own_side(self) -> int | None:
        """Of the photos that the backbone was trained on, where it says so."""
        side = getattr(getattr(self.backbone, "config", None), "image_size", None)
        return side[0] if isinstance(side, (tuple, list)) else side

    def _channels(self) -> int:
        side = self.own_side or PROBE_SIDE
        self.backbone.eval()
        with torch.inference_mode():
            return self.maps(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape[1]


def takes_photos_of(network: Pretrained, side: int) -> None:
    """Raises UsageError where the backbone only takes photos of another size."""
    try:
        with torch.inference_mode():
            network.maps(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    except (ValueError, RuntimeError):
        wanted = network.own_side
        repair = f"preprocess with --image-size {wanted}" if wanted and wanted != side else "name another backbone"
        raise UsageError(f"This backbone does not take photos of {side} px: {repair}.") from None


def from_hub(name: str, classes: int) -> Pretrained:
    """Load a backbone from its package, from a folder, from what was downloaded before, or from the hub.

    Only tensors are read, which cannot run code. Raises CatsdogsError naming what is needed.
    """
    if name == LITE0:
        network, kinds = lite0.pretrained()
        return Pretrained(network, {"model_type": name, KINDS: lite0.KINDS}, classes, lite0.MEAN, lite0.DEVIATION,
                          kinds)
    transformers = _transformers()
    local = Path(name).is_dir()
    last: Exception | None = None
    for offline in (True,) if local else (True, False):
        options = {"local_files_only": offline, "trust_remote_code": False}
        try:
            backbone = transformers.AutoModel.from_pretrained(
                name, use_safetensors=True, attn_implementation="eager", **options)
            mean, deviation = _normalisation(transformers, name, options)
        except Exception as error:  # a hub, a proxy or a damaged file may answer anything
            last = error
            continue
        return Pretrained(backbone.float(), backbone.config.to_dict(), classes, mean, deviation)
    what = "holds no backbone in safetensors files" if local else "is neither a folder nor to be had from the hub"
    reason = str(last).strip().split("\n")[0][:200]
    raise CatsdogsError(
        f"{PREFIX}{name}: {name!r} {what} ({reason}): download it where there is internet with "
        "`hf download NAME --local-dir FOLDER`, and name that folder."
    ) from None


def from_description(description: dict[str, Any], classes: int) -> Pretrained:
    """The network without its weights. Raises ValueError for a description that makes no sense."""
    if description.get("model_type") == LITE0:
        kinds = Kinds(lite0.KINDS, lite0.FEATURES) if KINDS in description else None  # older models have none
        return Pretrained(lite0.Lite0(), description, classes, kinds=kinds)
    transformers = _transformers()
    values = dict(description)
    try:
        config = transformers.AutoConfig.for_model(values.pop("model_type", ""), **values)
        backbone = transformers.AutoModel.from_config(config, attn_implementation="eager", trust_remote_code=False)
        return Pretrained(backbone.float(), description, classes)
    except Exception as error:  # each architecture has errors of its own
        raise ValueError(f"no backbone is described: {error}") from None


def _transformers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # five lines about each of its retries
    return transformers


def _normalisation(
    transformers: Any, name: str, options: dict[str, bool]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels in [0, 1] that the backbone was trained with."""
    try:
        values, _ = transformers.ImageProcessingMixin.get_image_processor_dict(name, **options)
    except OSError:  # it does not say
        return IMAGENET
    return tuple(values.get("image_mean", IMAGENET[0])), tuple(values.get("image_std", IMAGENET[1]))
