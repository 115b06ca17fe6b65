"""Whether sums of 8-bit integers are exact on this processor, and what happens where they are not."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from catsdogs import integers
from catsdogs.export import export
from catsdogs.nets.quantised.learning import learn_integers
from catsdogs.packed import PackedPhotos
from catsdogs.predictor import load_checked, load_predictor
from catsdogs.weights import WeightsCard, save_weights
from tests.models import CLASSES, LINEAGE, SIZE, trained

CPU = Path("/proc/cpuinfo")


def test_what_is_measured_is_what_the_processor_says_of_itself() -> None:
    if platform.machine() == "x86_64" and CPU.exists():
        flags = CPU.read_text().split()
        assert integers.are_exact("int8") == bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(flags))
        assert integers.are_exact("int7")
    assert integers.are_exact("int8") in (True, False)  # other processors: no error


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, photos: PackedPhotos) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    network = trained(photos, epochs=6, variant="fast", learning_rate=0.002).network
    learn_integers(network, photos.train.pixels, photos.val.pixels)
    save_weights(path, network, WeightsCard(
        variant="fast", classes=CLASSES, image_size=SIZE, description=network.description, temperature=1.2, metrics={},
        lineage=LINEAGE))
    return export(path, photos.val)[0]


def test_where_they_are_not_exact_a_model_in_integers_is_served_in_float32(
    model: Path, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.array(photos.test.pixels)
    exact = load_predictor(model, exact=True)
    monkeypatch.setattr(integers, "are_exact", lambda _: False)
    served = load_checked(model)
    assert served.card.arithmetic == "int7" and served.is_exact
    assert np.array_equal(served.logits(pixels), exact.logits(pixels))
    assert "sums of 8-bit integers overflow" in capsys.readouterr().err
    assert load_predictor(model).is_exact


def test_where_they_are_exact_nothing_is_said_of_overflows(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(integers, "are_exact", lambda _: True)
    assert not load_predictor(model).is_exact
    load_checked(model)
    assert "overflow" not in capsys.readouterr().err


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of processors with AVX2")
def test_without_vnni_weights_of_7_bits_are_answered_in_integers_and_the_same(
    model: Path, photos: PackedPhotos, tmp_path: Path
) -> None:
    """The engine in a process of its own, told to leave alone all that came after AVX2. To the bit the same with
    AVX-512; with AMX a tie may be rounded otherwise. Weights of 8 bits would move logits by 0.5 on average."""
    pixels = np.array(photos.test.pixels)
    np.save(tmp_path / "pixels.npy", pixels)
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from catsdogs import integers\n"
        "from catsdogs.predictor import load_checked\n"
        "folder, predictor = Path(sys.argv[1]), load_checked(Path(sys.argv[2]))\n"
        "np.save(folder / 'logits.npy', predictor.logits(np.load(folder / 'pixels.npy')))\n"
        "print(integers.are_exact('int8'), integers.are_exact('int7'), predictor.is_exact)\n"
    )
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(model)], check=True, capture_output=True,
                          text=True, env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert said.stdout.split() == ["False", "True", "False"], said.stderr
    apart = np.abs(np.load(tmp_path / "logits.npy") - load_predictor(model).logits(pixels))
    assert apart.mean() < 0.005 and apart.max() < 0.05
