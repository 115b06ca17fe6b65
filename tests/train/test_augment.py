import pytest
import torch
from torch.nn import functional

from catsdogs.train.augment import Augmentation, augmented, grids, halved, mirrored

NOTHING = Augmentation(smallest_area=1, aspect=0, degrees=0, contrast=0, brightness=0, tint=0)


def photos(count: int = 64, side: int = 32) -> torch.Tensor:
    """Smooth in both directions, so that resampling keeps them."""
    ramp = torch.linspace(0, 200, side)
    one = torch.stack([ramp[None].expand(side, side), ramp[:, None].expand(side, side), torch.full((side, side), 99.)])
    return one.permute(1, 2, 0).to(torch.uint8).expand(count, side, side, 3).contiguous()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_ranges_a_photo_is_itself_or_its_mirror_image() -> None:
    before = photos().float()
    after = augmented(photos(), 32, NOTHING, seeded())
    same = (after - before).abs().amax(dim=(1, 2, 3)) < 0.01
    flipped = (after - before.flip(2)).abs().amax(dim=(1, 2, 3)) < 0.01
    assert (same ^ flipped).all() and 10 < same.sum() < 54


@pytest.mark.parametrize("size", [8, 16, 24, 32])
def test_a_smaller_size_is_an_average_not_a_choice_of_pixels(size: int) -> None:
    checkers = torch.zeros(8, 32, 32, 3, dtype=torch.uint8)
    checkers[:, ::2, ::2] = checkers[:, 1::2, 1::2] = 200
    after = augmented(checkers, size, NOTHING, seeded())
    assert after.shape == (8, size, size, 3)
    if size <= 16:
        assert (after - 100).abs().max() < 1


def test_crops_stay_inside_and_keep_the_area(tmp_path: object) -> None:
    after = augmented(photos(256), 32, Augmentation(smallest_area=0.4, degrees=0, contrast=0, brightness=0, tint=0),
                      seeded())
    spans = (after[:, :, -1, 0] - after[:, :, 0, 0]).abs().mean(dim=1) / 200
    assert 0.5 < spans.min() < 0.75 and spans.max() <= 1.01
    assert after.min() >= -1 and after.max() <= 201


def test_colours_vary_and_the_same_seed_draws_the_same() -> None:
    first, again, other = (augmented(photos(), 32, Augmentation(), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.mean(dim=(1, 2, 3)).std() > 3
    assert (first[..., 0] - first[..., 1]).mean(dim=(1, 2)).std() > 3


@pytest.mark.parametrize("side", [2, 9, 32])
def test_halved_photos_are_means_of_four_pixels(side: int) -> None:
    photos = torch.randint(0, 256, (3, side, side, 3)).float()
    means = functional.avg_pool2d(photos.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    assert torch.allclose(halved(photos), means)


@pytest.mark.parametrize("size", [1, 7, 32])
def test_grids_are_torchs(size: int) -> None:
    placements = torch.randn(5, 2, 3)
    expected = functional.affine_grid(placements, [5, 3, size, size], align_corners=False)
    assert torch.allclose(grids(placements, size), expected, atol=1e-5)


def test_mirroring_leaves_everything_else_alone() -> None:
    before = photos()
    after = mirrored(before, seeded())
    assert after.dtype == torch.uint8
    same = (after == before).flatten(1).all(dim=1)
    flipped = (after == before.flip(2)).flatten(1).all(dim=1)
    assert (same ^ flipped).all() and 10 < same.sum() < 54
