from catsdogs.settings.training import ModelsSettings
from catsdogs.train.compare import models


def test_variants_are_compared() -> None:
    result = models(ModelsSettings(image_size=32))
    baseline, wider, fast = result.variants
    assert baseline.parameters == (3 * 9 + 1) * 32 + (32 * 9 + 1) * 64 + (64 * 9 + 1) * 128 + 129 * 64 + 65 * 2
    convolutions = 32**2 * 3 * 9 * 32 + 16**2 * 32 * 9 * 64 + 8**2 * 64 * 9 * 128
    assert baseline.flops == 2 * (convolutions + 128 * 64 + 64 * 2)
    assert wider.flops > baseline.flops and wider.parameters > baseline.parameters
    assert fast.flops < baseline.flops and fast.name == "fast"
    assert "baseline" in result.text() and result.data()["image_size"] == 32


def test_variants_that_photos_are_too_small_for_are_left_out() -> None:
    assert [variant.name for variant in models(ModelsSettings(image_size=8)).variants] == ["baseline"]
