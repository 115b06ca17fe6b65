"""Small random backbones, as transformers saves them."""

from pathlib import Path

import torch


def write_resnet(folder: Path, width: int) -> Path:
    """A ResNet of two blocks whose features are of `width`; returns the folder."""
    import transformers

    torch.manual_seed(3)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, width], depths=[1, 1], layer_type="basic")
    transformers.ResNetModel(config).save_pretrained(folder)
    return folder
