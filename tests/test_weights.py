import os
import pickle
from pathlib import Path

import pytest
import torch

from catsdogs.errors import ModelRefused
from catsdogs.weights import load_weights
from tests.models import CLASSES


def test_weights_come_back_as_they_were(model_path: Path) -> None:
    network, card = load_weights(model_path)
    assert (card.variant, card.classes, card.temperature) == ("baseline", CLASSES, 1.2)
    assert not network.training
    stored = torch.load(model_path, weights_only=True)["weights"]
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch owned",)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(ModelRefused, match="run code"):
            load_weights(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_damage_of_every_kind_is_one_sentence(model_path: Path, tmp_path: Path) -> None:
    content, whole = torch.load(model_path, weights_only=True), model_path.read_bytes()
    broken = {
        **{f"truncated-{cut}": whole[:cut] for cut in (1000, len(whole) // 2, len(whole) - 1000, len(whole) - 1)},
        "flipped-bit": whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:],
        "empty": b"",
        "text": b"no weights at all",
    }
    for name, data in broken.items():
        (tmp_path / f"{name}.pt").write_bytes(data)
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"weights": content["weights"]}, tmp_path / "nocard.pt")
    other = {name: torch.zeros(3) for name in content["weights"]}
    torch.save({"weights": other, "card": content["card"]}, tmp_path / "shape.pt")
    torch.save({"weights": {1: torch.zeros(3)}, "card": content["card"]}, tmp_path / "names.pt")
    for variant in ("wider", "unknown"):
        card = content["card"] | {"variant": variant}
        torch.save({"weights": content["weights"], "card": card}, tmp_path / f"variant-{variant}.pt")
    torch.save({"weights": {name: tensor * torch.nan for name, tensor in content["weights"].items()},
                "card": content["card"]}, tmp_path / "nan.pt")
    for path in tmp_path.glob("*.pt"):
        with pytest.raises(ModelRefused) as caught:
            load_weights(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="does not exist.*catsdogs train"):
        load_weights(tmp_path / "model.pt")
