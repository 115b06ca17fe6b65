"""`fast`: the project's own network, a small residual one (He et al. 2016) that learns from few steps."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from catsdogs.nets.network import Network

REDUCTION = "reduction"  # in a description
STEM = 24
STAGES = ((48, 2), (96, 2), (192, 2), (192, 1))  # width and stride of each block


class Norm(nn.BatchNorm2d):
    """Batch normalisation; a single value, which has no variance, goes by what was seen so far: a last batch of one
    photo of 16 px."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self.training and values.numel() == values.shape[1]:
            return functional.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias,
                                         eps=self.eps)
        return super().forward(values)


class Block(nn.Module):
    """conv-norm-ReLU-conv-norm beside a shortcut; starts as the shortcut alone (Goyal et al. 2017, zero gamma)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = Norm(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = Norm(after)
        nn.init.zeros_(self.second_norm.weight)
        self.stride = stride
        self.shortcut = None if before == after else nn.Sequential(
            nn.Conv2d(before, after, 1, bias=False), Norm(after)
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        residual = self.second_norm(self.second(functional.relu(self.first_norm(self.first(values)))))
        if self.stride > 1:  # rounds up like the convolution beside it
            values = functional.avg_pool2d(values, self.stride, ceil_mode=True, count_include_pad=False)
        if self.shortcut is not None:
            values = self.shortcut(values)
        return functional.relu(values + residual)


def smaller(photos: torch.Tensor, by: int) -> torch.Tensor:
    """[n, 3, side, side] -> [n, 3, side // by, side // by], means of squares."""
    return photos if by == 1 else functional.avg_pool2d(photos, by)


class Fast(Network):
    """conv 6x6 in steps of 2, residual blocks, mean and maximum over the photo, linear.

    The first convolution is a 3x3 one on blocks of 2x2 pixels, written so that photos of any size fit; it takes
    three quarters of the time that moving the blocks into channels did.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 6, 2, padding=2, bias=False)
        self.norm = Norm(STEM)
        widths = (STEM, *(width for width, _ in STAGES))
        self.blocks = nn.Sequential(
            *(Block(before, width, stride) for before, (width, stride) in zip(widths, STAGES, strict=False))
        )
        self.head: nn.Linear = nn.Linear(2 * widths[-1], classes)

    def describe(self, description: dict[str, Any]) -> None:
        reduction = description.get(REDUCTION, 1)
        if not isinstance(reduction, int) or reduction < 1:
            raise ValueError(f"{REDUCTION} is {reduction!r}, not a whole number from 1 on")
        super().describe(description)

    @property
    def reduction(self) -> int:
        return int(self.description.get(REDUCTION, 1))

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """While it is trained photos are made smaller where they are cropped and turned, not here again."""
        return smaller(super().scaled(pixels), 1 if self.training else self.reduction)

    def maps(self, pixels: torch.Tensor, *, blocked: bool = False) -> torch.Tensor:
        """The blocked layout gains nothing here, where batch normalisation weighs more than it."""
        maps: torch.Tensor = self.blocks(functional.relu(self.norm(self.stem(self.scaled(pixels)))))
        return maps

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)

    def evidence(self, maps: torch.Tensor) -> torch.Tensor:
        """A mean is owed to every place, a maximum to the place that holds it (to each its share, where several do)."""
        of_mean, of_maximum = self.head.weight[:, :, None, None].chunk(2, dim=1)
        holds = (maps == maps.amax(dim=(2, 3), keepdim=True)).to(maps.dtype)
        share = holds / holds.sum(dim=(2, 3), keepdim=True)
        places = maps.shape[2] * maps.shape[3]
        return functional.conv2d(maps, of_mean) / places + functional.conv2d(maps * share, of_maximum)
