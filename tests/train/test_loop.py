from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from catsdogs.errors import CatsdogsError
from catsdogs.nets.plain import Plain
from catsdogs.nets.registry import build
from catsdogs.packed import Packed, PackedPhotos
from catsdogs.reports import Epoch
from catsdogs.train.augment import Augmentation, augmented
from catsdogs.train.batches import Batch, TrainingBatches, evaluation_batches
from catsdogs.train.calibration import expected_calibration_error, fit_temperature
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.device import Device
from catsdogs.train.interruption import Abandoned, Interruption, Stopped
from catsdogs.train.plan import Plan
from catsdogs.train.processes import PeerLost, Processes
from catsdogs.train.recipe import RECIPES
from catsdogs.train.report import Calibration, judge
from catsdogs.train.step import step_on
from catsdogs.train.teacher import Teacher, pupil
from catsdogs.train.validation import answers, cross_entropy
from catsdogs.weights import load_plain, save_plain
from tests.models import CLASSES, CPU, NoCheckpoint, colour_photos, trained


T = TypeVar("T")


def weights(training: object) -> list[torch.Tensor]:
    return list(training.network.state_dict().values())  # type: ignore[attr-defined]


def epoch_of(photos: Packed, batch_size: int, number: int, augmentation: Augmentation | None = None) -> list[Batch]:
    batches = TrainingBatches(photos, batch_size, seed=1, augmentation=augmentation)
    return [batches.get(number, step, side=16) for step in range(len(batches))]


def test_it_learns(photos: PackedPhotos) -> None:
    training = trained(photos, epochs=4)
    logits = answers(training.network, photos.test, CPU)
    assert (logits.argmax(1) == photos.test.labels).mean() > 0.9
    assert training.history[-1].train_loss < training.history[0].train_loss


def test_the_same_seed_gives_the_same_weights(photos: PackedPhotos) -> None:
    one, other = trained(photos), trained(photos)
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))
    third = trained(photos, seed=2)
    assert not all(torch.equal(a, b) for a, b in zip(weights(one), weights(third), strict=True))


def test_the_best_weights_are_a_copy_of_the_best_epoch(photos: PackedPhotos) -> None:
    """The network is ruined after a good epoch: what is kept must still be the good one."""

    class Ruined(NoCheckpoint):
        def save(self, state: dict[str, object]) -> None:
            super().save(state)
            if len(state["history"]) == 2:  # type: ignore[arg-type]
                with torch.no_grad():
                    for part in ("network", "average"):
                        for tensor in state[part].values():  # type: ignore[attr-defined]
                            tensor.zero_()

    training = trained(photos, epochs=3, checkpoint=Ruined())
    assert training.best_epoch in (1, 2)
    assert training.best_row.val_accuracy == max(row.val_accuracy for row in training.history)
    logits = answers(training.network, photos.val, CPU)
    assert float((logits.argmax(1) == photos.val.labels).mean()) == training.best_row.val_accuracy
    assert cross_entropy(logits, photos.val.labels) == pytest.approx(training.best_row.val_loss, abs=1e-6)


def test_resuming_after_any_epoch_gives_the_same_weights_to_the_bit(photos: PackedPhotos, tmp_path: Path) -> None:
    undisturbed = trained(photos, epochs=4)
    for stop_after in (1, 3):
        checkpoint = Checkpoint(tmp_path / str(stop_after), "key")

        def stop(row: object, after: int = stop_after) -> None:
            if row.epoch == after:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trained(photos, epochs=4, checkpoint=checkpoint, after_epoch=stop)
        resumed = trained(photos, epochs=4, checkpoint=checkpoint)
        assert all(torch.equal(a, b) for a, b in zip(weights(undisturbed), weights(resumed), strict=True))
        assert [row.train_loss for row in resumed.history] == [row.train_loss for row in undisturbed.history]


@pytest.mark.parametrize("damage", ["other-key", "other-shape", "no-history", "truncated", "flipped-bit", "text"])
def test_a_checkpoint_that_does_not_fit_is_said_and_ignored(
    photos: PackedPhotos, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    trained(photos, epochs=1, checkpoint=checkpoint)
    data, content = checkpoint.path.read_bytes(), load_plain(checkpoint.path)
    match damage:
        case "other-key":
            checkpoint.key = "another"
        case "other-shape":  # the last layer only: those before it fit, and have been overwritten when it fails
            content["network"]["head.2.bias"] = torch.zeros(3)
            save_plain(checkpoint.path, content)
        case "no-history":
            del content["history"]
            save_plain(checkpoint.path, content)
        case "truncated":
            checkpoint.path.write_bytes(data[: len(data) // 2])
        case "flipped-bit":
            middle = len(data) // 2
            checkpoint.path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:])
        case "text":
            checkpoint.path.write_bytes(b"not a checkpoint")
    capsys.readouterr()
    from_the_start = trained(photos, epochs=1, checkpoint=checkpoint)
    said = capsys.readouterr().err
    assert said.count("checkpoint_ignored") == 1 and "resumed" not in said
    undisturbed = trained(photos, epochs=1)
    assert all(torch.equal(a, b) for a, b in zip(weights(undisturbed), weights(from_the_start), strict=True))


class SavesOften(Checkpoint):
    """Stops the run at its n-th save, like a machine that goes away."""

    def __init__(self, folder: Path, stop_at: int) -> None:
        super().__init__(folder, "key")
        self.left = stop_at

    def save(self, state: dict[str, object]) -> None:
        super().save(state)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("variant", ["baseline", "fast"])
def test_resuming_in_the_middle_of_an_epoch_gives_the_same_weights_to_the_bit(
    photos: PackedPhotos, tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taught() -> dict[str, object]:
        """A teacher for `fast`, whose pupil is part of the state."""
        if variant == "baseline":
            return {}
        count, random = len(photos.train.labels), np.random.default_rng(0)
        teacher = Teacher(random.standard_normal((count, 12)).astype(np.float16),
                          random.dirichlet((1, 1), count).astype(np.float32))
        torch.manual_seed(2)
        return {"teacher": teacher, "pupil": pupil(build(variant, 2), teacher, 16)}

    undisturbed = trained(photos, epochs=3, variant=variant, **taught())
    monkeypatch.setattr("catsdogs.train.keeper.SAVE_SECONDS", 0.0)  # after every step
    for stop_at in (3, 4, 9) if variant == "baseline" else (4,):
        folder = tmp_path / str(stop_at)
        with pytest.raises(KeyboardInterrupt):
            trained(photos, epochs=3, variant=variant, checkpoint=SavesOften(folder, stop_at), **taught())
        resumed = trained(photos, epochs=3, variant=variant, checkpoint=Checkpoint(folder, "key"), **taught())
        assert resumed.steps == undisturbed.steps == 15
        assert all(torch.equal(a, b) for a, b in zip(weights(undisturbed), weights(resumed), strict=True))
        assert [row.train_loss for row in resumed.history] == [row.train_loss for row in undisturbed.history]


def test_a_damaged_newest_state_falls_back_to_the_one_before(
    photos: PackedPhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = trained(photos, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        trained(photos, epochs=3, checkpoint=SavesOften(tmp_path, 2))
    (tmp_path / "checkpoint.pt").write_bytes(b"half a state")
    resumed = trained(photos, epochs=3, checkpoint=Checkpoint(tmp_path, "key"))
    said = capsys.readouterr().err
    assert "is damaged" in said or "no plain weights file" in said
    assert '"resumed", "step": 5' in said
    assert all(torch.equal(a, b) for a, b in zip(weights(undisturbed), weights(resumed), strict=True))


def test_a_time_budget_ends_with_the_last_step_that_fits_into_it_wherever_in_an_epoch(photos: PackedPhotos) -> None:
    for seconds in (0.01, 0.5):
        training = trained(photos, variant="fast", seconds=seconds)
        assert training.steps >= 1 and training.seconds * (1 + 1 / training.steps) > seconds
        assert training.history[-1].epoch == -(-training.steps // 5) and training.best_epoch


def test_a_budget_that_has_become_shorter_still_ends_with_a_model(
    photos: PackedPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the budget is measured anew at every start; nothing has been validated yet."""
    monkeypatch.setattr("catsdogs.train.keeper.SAVE_SECONDS", 0.0)  # after every step
    with pytest.raises(KeyboardInterrupt):
        trained(photos, variant="fast", seconds=1e6, checkpoint=SavesOften(tmp_path, 3))
    training = trained(photos, variant="fast", seconds=1e-4, checkpoint=Checkpoint(tmp_path, "key"))
    assert training.steps == 4 and len(training.history) == 1 and training.best_epoch == 1


@pytest.mark.parametrize("variant", ["fast", "baseline"])  # with batch normalisation and without
@pytest.mark.parametrize("looks", [1, 3])
def test_a_step_that_is_given_up_half_way_leaves_the_network_as_it_was(
    photos: PackedPhotos, variant: str, looks: int
) -> None:
    training = trained(photos, epochs=1, variant=variant)
    before = [tensor.clone() for tensor in weights(training)]
    pixels, labels = TrainingBatches(photos.train, 16, seed=1).get(1, 0, 16)

    class Later(Interruption):
        seen = 0

        @property  # type: ignore[misc]
        def asked(self) -> bool:
            self.seen += 1
            return self.seen >= looks

        @asked.setter
        def asked(self, asked: bool) -> None: ...

    few = replace(CPU)
    object.__setattr__(few, "piece", lambda batch, side: 4)
    with pytest.raises(Abandoned):
        step_on(training, pixels, labels, few, interruption=Later())
    assert all(torch.equal(one, other) for one, other in zip(before, weights(training), strict=True))


def test_sigterm_during_the_last_validation_stops_before_the_export(
    photos: PackedPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interruption = Interruption()

    class Told(Checkpoint):
        def save(self, state: dict[str, object]) -> None:
            super().save(state)
            interruption.asked = True

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr("catsdogs.train.loop.watched", lambda: nullcontext(interruption))
        trained(photos, epochs=1, checkpoint=Told(tmp_path, "key"))
    assert trained(photos, epochs=1, checkpoint=Checkpoint(tmp_path, "key")).steps == 5


@pytest.mark.parametrize("limit", [{"epochs": 2}, {"seconds": 1e-4}])  # the second is over after one step
def test_sigterm_gives_up_a_validation_which_is_made_up_for(
    photos: PackedPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]
) -> None:
    """Answering the photos of a large network may take longer than a machine has left to live."""
    undisturbed = trained(photos, variant="fast", **limit)
    checkpoint, rows, interruption = Checkpoint(tmp_path, "key"), list[Epoch](), Interruption()

    def batches(*arguments: Any) -> Iterator[Any]:
        interruption.asked = True  # while the validation is under way
        yield from evaluation_batches(*arguments)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr("catsdogs.train.loop.watched", lambda: nullcontext(interruption))
        patched.setattr("catsdogs.train.validation.evaluation_batches", batches)
        trained(photos, variant="fast", checkpoint=checkpoint, after_epoch=rows.append, **limit)
    assert rows == []
    resumed = trained(photos, variant="fast", checkpoint=checkpoint, after_epoch=rows.append, **limit)
    assert [row.epoch for row in rows] == [row.epoch for row in undisturbed.history]
    assert [(row.train_loss, row.val_loss) for row in rows] == [
        (row.train_loss, row.val_loss) for row in undisturbed.history]
    assert all(torch.equal(one, other) for one, other in zip(weights(resumed), weights(undisturbed), strict=True))


def test_the_part_of_a_process_that_has_no_photo_of_a_batch(photos: PackedPhotos) -> None:
    """The last batch of an epoch may have fewer photos than there are processes."""
    none = photos.train.pixels[:0], torch.zeros(0, dtype=torch.int64)
    pixels = augmented(torch.from_numpy(np.array(none[0])), 16, Augmentation(), torch.Generator().manual_seed(1),
                       slice(0, 0), total=1)
    assert pixels.shape == (0, 16, 16, 3) and Device(torch.device("cuda"), torch.float32).piece(0, 224) == 1
    training = trained(photos, epochs=1, variant="fast")
    assert step_on(training, pixels, none[1], CPU, total=1) == 0


def test_fast_learns_from_a_last_batch_of_one_small_photo(photos: PackedPhotos) -> None:
    training = trained(photos, epochs=1, variant="fast", batch_size=len(photos.train.labels) - 1)
    assert photos.about.image_size == 16 and training.steps == 2
    assert all(torch.isfinite(tensor.float()).all() for tensor in weights(training))


def test_the_best_epoch_is_named_by_its_number_where_not_every_epoch_was_validated(photos: PackedPhotos) -> None:
    training = trained(photos, epochs=1)
    training.history, training.best_place = [], 0
    for epoch, accuracy in ((1, 0.6), (4, 0.9), (9, 0.8)):
        training.note(Epoch(epoch=epoch, train_loss=1, val_loss=1, val_accuracy=accuracy, images_per_second=1))
    assert training.best_epoch == 4 and training.best_row.val_accuracy == 0.9


def test_a_plan_counts_steps_or_seconds() -> None:
    recipe = RECIPES["fast"]
    by_steps = Plan(recipe=recipe, epochs=4, batch_size=1, learning_rate=1, seed=1)
    assert [by_steps.done(steps, 10, 99.0) for steps in (0, 20, 40)] == [0, 0.5, 1]
    by_time = Plan(recipe=recipe, epochs=4, batch_size=1, learning_rate=1, seed=1, seconds=8)
    assert [by_time.done(100, 10, seconds) for seconds in (0, 4, 8, 9)] == [0, 0.5, 1, 1]
    assert by_time.done(0, 10, 0.0) == 0


def test_within_a_time_no_step_is_begun_that_would_end_after_it() -> None:
    plan = Plan(recipe=RECIPES["fast"], epochs=4, batch_size=1, learning_rate=1, seed=1, seconds=60)
    assert plan.done(10, 10, 50.0) == 50 / 60  # one more of 5 s ends at 55
    assert plan.done(11, 10, 55.0) == 55 / 60
    assert plan.done(11, 10, 56.0) == 1  # one more of 5.1 s would end at 61


def test_fast_learns_from_few_steps(photos: PackedPhotos) -> None:
    training = trained(photos, epochs=6, variant="fast", learning_rate=0.002)
    logits = answers(training.network, photos.test, CPU)
    assert (logits.argmax(1) == photos.test.labels).mean() > 0.9


def test_a_resumed_run_reports_the_epochs_before_it_too(photos: PackedPhotos, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    trained(photos, epochs=2, checkpoint=checkpoint)
    reported: list[int] = []
    trained(photos, epochs=3, checkpoint=checkpoint, after_epoch=lambda row: reported.append(row.epoch))
    assert reported == [1, 2, 3]


def test_a_loss_that_is_no_number_stops_and_says_what_to_lower(photos: PackedPhotos) -> None:
    with pytest.raises(CatsdogsError, match=r"loss is (nan|inf) at step \d+ of epoch \d+: lower --learning-rate"):
        trained(photos, epochs=30, learning_rate=1e25)


def test_weights_ruined_by_the_last_step_are_not_taken_for_trained(photos: PackedPhotos) -> None:
    with pytest.raises(CatsdogsError, match="validation photos after epoch 1: lower --learning-rate"):
        trained(photos, epochs=1, batch_size=1000, learning_rate=1e25)


def test_every_photo_once_an_epoch_in_an_order_of_its_own(photos: PackedPhotos) -> None:
    def sums(epoch: int) -> list[float]:
        return [float(pixels.float().sum()) for pixels, _ in epoch_of(photos.train, 16, epoch)]

    labels = torch.cat([labels for _, labels in epoch_of(photos.train, 16, 1)])
    assert sorted(labels.tolist()) == sorted(photos.train.labels.tolist())
    assert sums(1) == sums(1) and sums(1) != sums(2)
    assert sum(sums(1)) == sum(sums(2)) == float(photos.train.pixels.sum())


def test_flips_mirror_left_and_right_only(photos: PackedPhotos) -> None:
    originals = {photo.tobytes() for photo in photos.train.pixels}
    mirrored = {np.ascontiguousarray(photo[:, ::-1]).tobytes() for photo in photos.train.pixels}
    seen = [photo.numpy().tobytes() for pixels, _ in epoch_of(photos.train, 7, 1) for photo in pixels]
    flips = sum(photo in mirrored for photo in seen)
    assert all(photo in originals | mirrored for photo in seen)
    assert 0.2 < flips / len(seen) < 0.8


def test_batches_larger_than_the_data_and_odd_ends() -> None:
    tiny = colour_photos(train=3, val=2, test=2)
    assert [len(labels) for _, labels in epoch_of(tiny.train, 4, 1)] == [4, 2]
    assert [len(labels) for _, labels in evaluation_batches(tiny.train, 100, slice(0, 6))] == [6]
    assert trained(tiny, epochs=1, batch_size=1000).best_epoch == 1


def test_the_photos_are_not_changed_by_training(photos: PackedPhotos) -> None:
    before = photos.train.pixels.copy()
    trained(photos, epochs=1)
    assert np.array_equal(before, photos.train.pixels)


def test_the_temperature_undoes_overconfidence() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 4000)
    honest = np.where(labels[:, None] == np.arange(2), 1.0, -1.0) * 0.5 + random.standard_normal((4000, 2)) * 0.7
    fitted = fit_temperature((honest * 8).astype(np.float32), labels)
    assert fitted == pytest.approx(8 * fit_temperature(honest.astype(np.float32), labels), rel=0.02)
    assert cross_entropy((honest * 8).astype(np.float32), labels, fitted) < cross_entropy(
        (honest * 8).astype(np.float32), labels)


def test_calibration_error_of_the_certain() -> None:
    always = np.array([[1.0, 0.0]] * 10)
    assert expected_calibration_error(always, np.zeros(10, dtype=np.int64)) == 0
    assert expected_calibration_error(always, np.ones(10, dtype=np.int64)) == 1


def test_the_figures_of_a_known_confusion() -> None:
    logits = np.array([[2, 0], [2, 0], [0, 2], [0, 3]], dtype=np.float32)
    figures = judge(logits, np.array([0, 0, 0, 1]), CLASSES, Calibration(1.0, 0.9, 0.02))
    assert figures.confusion == [[2, 1], [0, 1]]
    assert figures.accuracy.value == 0.75 and 0.3 < figures.accuracy.low < 0.75 < figures.accuracy.high < 0.96
    assert figures.per_class["dog"].precision == 0.5 and figures.per_class["cat"].recall == pytest.approx(2 / 3)
    assert figures.majority_share == 0.75 and figures.slices == {}
    assert figures.auc == 1.0


def test_the_figures_of_a_slice_are_of_its_photos_alone() -> None:
    logits = np.array([[2, 0], [2, 0], [0, 2], [0, 3]], dtype=np.float32)
    slices = {"dark": np.array([True, True, True, False]), "sharp": np.array([False, False, False, True]),
              "empty": np.zeros(4, dtype=bool)}
    figures = judge(logits, np.array([0, 0, 0, 1]), CLASSES, Calibration(1.0, 0.9, 0.02), slices)
    assert figures.slices["dark"].value == pytest.approx(2 / 3) and figures.slices["dark"].count == 3
    assert figures.slices["sharp"].value == 1.0 and "empty" not in figures.slices


@dataclass(frozen=True)
class Told(Processes):
    """Another process was asked to stop, of which this one learns where steps are summed up, or validations."""

    values: int = 0

    def total(self, *values: float) -> list[float]:
        return [*values[:-1], 1.0] if len(values) == self.values else list(values)


@pytest.mark.parametrize("values", [5, 1])  # in all: of a step, of a look up while validating
def test_a_validation_is_given_up_where_another_process_was_asked_to_stop(photos: PackedPhotos, values: int) -> None:
    rows, checkpoint = list[Epoch](), NoCheckpoint()
    with pytest.raises(Stopped):
        trained(photos, batch_size=len(photos.train.labels), processes=Told(values=values), after_epoch=rows.append,
                checkpoint=checkpoint)
    numbers: Any = checkpoint.saved[-1]["numbers"]
    assert rows == [] and numbers["owed"] and numbers["steps"] == 1


class Gone(Processes):
    """One of two, of which the other is lost while they validate."""

    def total(self, *values: float) -> list[float]:
        if len(values) == 1:
            raise PeerLost("Another process of this training is gone")
        return list(values)

    def from_first(self, value: Any) -> Any:
        return value

    def gathered(self, values: list[T]) -> list[T]:
        return values

    def alike(self, *networks: torch.nn.Module) -> None:
        pass

    def sum_gradients(self, *networks: torch.nn.Module) -> None:
        pass


def test_with_another_process_lost_in_a_validation_no_step_is(photos: PackedPhotos) -> None:
    checkpoint = NoCheckpoint()
    with pytest.raises(PeerLost):
        trained(photos, batch_size=len(photos.train.labels), processes=Gone(count=2), checkpoint=checkpoint)
    numbers: Any = checkpoint.saved[-1]["numbers"]
    assert numbers["owed"] and numbers["steps"] == 1


@dataclass(frozen=True)
class Part(Processes):
    """One of several, which does not wait for the others' answers."""

    def gathered(self, values: list[T]) -> list[Any]:
        return values or [np.zeros((0, 2), np.float32)]


@pytest.mark.parametrize("count", [2, 3, 200])
def test_processes_share_a_validation_and_look_up_equally_often(photos: PackedPhotos, count: int) -> None:
    """65 photos, of which 32 are answered at a time: one of two processes has a batch more; and some have none."""
    some = Packed(photos.train.pixels[:65], photos.train.labels[:65], photos.train.rows[:65])
    torch.manual_seed(1)
    network = build("baseline", 2)
    parts, looks = [], []
    for rank in range(count):
        looked = list[int]()
        parts.append(answers(network, some, CPU, Part(rank, count), lambda: looked.append(1)))
        looks.append(len(looked))
    assert len(set(looks)) == 1
    assert np.allclose(np.concatenate(parts), answers(network, some, CPU), atol=1e-4)


class Left(Processes):
    """Another process is gone, which is found out when it is to be told."""

    def done_by_first(self, work: Callable[[], T]) -> T:
        work()
        raise PeerLost("Another process of this training is gone")


def test_an_epoch_is_saved_before_the_other_processes_are_told_of_it(photos: PackedPhotos) -> None:
    rows, checkpoint = list[Epoch](), NoCheckpoint()
    with pytest.raises(PeerLost):
        trained(photos, processes=Left(), after_epoch=rows.append, checkpoint=checkpoint)
    numbers: Any = checkpoint.saved[-1]["numbers"]
    assert len(rows) == 1 and numbers["best_place"] == 1 and not numbers["owed"]


def test_an_epoch_that_goes_on_after_it_was_validated_is_told_of_the_rest_alone(
    photos: PackedPhotos, tmp_path: Path
) -> None:
    """A budget ends in the middle of an epoch, and the next start has a little time left."""
    losses = list[float]()
    first = trained(photos, seconds=1e-4, checkpoint=Checkpoint(tmp_path, "key"))
    training = trained(photos, epochs=1, checkpoint=Checkpoint(tmp_path, "key"),
                       after_step=lambda steps, loss, images_per_second: losses.append(loss))
    assert (first.steps, training.steps, len(losses), len(training.history)) == (1, 5, 4, 2)
    assert training.history[1].train_loss == pytest.approx(np.mean(losses), rel=1e-6)


def test_before_a_long_validation_the_last_steps_are_saved(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large network it takes minutes, and a state may be a minute old."""
    for save_seconds, expected in ((60.0, [False, False]), (0.0, [True, False, True, False])):
        monkeypatch.setattr("catsdogs.train.keeper.SAVE_SECONDS", save_seconds)
        checkpoint = NoCheckpoint()
        trained(photos, epochs=2, batch_size=len(photos.train.labels), checkpoint=checkpoint)
        saved: list[Any] = [state["numbers"] for state in checkpoint.saved]
        assert [numbers["owed"] for numbers in saved] == expected


class Noted(Processes):
    """Notes what is to be alike."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "networks", list[torch.nn.Module]())

    def alike(self, *networks: torch.nn.Module) -> None:
        self.networks.extend(networks)  # type: ignore[attr-defined]


def test_processes_begin_with_the_same_networks_or_go_on_with_those_of_the_checkpoint(
    photos: PackedPhotos, tmp_path: Path
) -> None:
    for expected in ([Plain, nn.Linear], []):
        processes = Noted()
        trained(photos, epochs=1, checkpoint=Checkpoint(tmp_path, "key"), processes=processes, pupil=nn.Linear(128, 3))
        assert [type(network) for network in processes.networks] == expected  # type: ignore[attr-defined]
