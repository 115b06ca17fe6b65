"""Was a model trained on this split of the photos? What it learned, or chose its best epoch by, cannot judge it.

A photo's split depends on seed, ratios and the photo alone: where those agree, photos that came later moved none.
"""

from dataclasses import dataclass
from pathlib import Path

from catsdogs.artifacts import ModelCard, Preprocessed
from catsdogs.errors import UsageError
from catsdogs.gate.report import Check

Value = str | int | float | bool


@dataclass(frozen=True)
class Split:
    """What decides it, as `catsdogs preprocess` was told."""

    seed: Value
    train_ratio: Value
    val_ratio: Value

    def __str__(self) -> str:
        return f"(seed {self.seed}, ratios {self.train_ratio} and {self.val_ratio})"

    @property
    def flags(self) -> str:
        return f"`--seed {self.seed} --train-ratio {self.train_ratio} --val-ratio {self.val_ratio}`"


def check_unseen(card: ModelCard, about: Preprocessed, challenger: Path, data_dir: Path) -> Check:
    """That the challenger has not learned the test photos. Raises UsageError where it was trained on another split."""
    if (other := other_split(card, about)) is not None:
        raise UsageError(
            f"{challenger} was trained on another split {other} than {data_dir} holds {_of(about)}, so it may have "
            f"learned the test photos: preprocess with {other.flags}, or train on this folder.")
    text = f"this is the split that the challenger was trained on {_of(about)}" if _trained_on(card) else \
        "the challenger is of an earlier version and does not say which split it was trained on: taken to be this one"
    return Check(name="unseen", passed=True, text=text)


def advantage(card: ModelCard, about: Preprocessed) -> str:
    """Why the champion has it easier; empty where it has not. Which photos it learned is not known here, and having
    learned some only helps it: who passes all the same is not worse, who fails may have been wronged."""
    if (other := other_split(card, about)) is None:
        return ""
    return (f"the champion was trained on another split {other} and may have learned these photos: for a fair "
            f"comparison preprocess with {other.flags} (`catsdogs job` takes the seed) and train the challenger again")


def other_split(card: ModelCard, about: Preprocessed) -> Split | None:
    """What the model was trained on; None where it is the split of these photos, or the model does not say."""
    found = _trained_on(card)
    if found == _of(about) or card.lineage.splits_digest == about.splits_digest:  # each photo where it was
        return None
    return found


def _trained_on(card: ModelCard) -> Split | None:
    said = card.lineage.parameters
    seed, train_ratio, val_ratio = (said.get(name) for name in ("split_seed", "train_ratio", "val_ratio"))
    if seed is None or train_ratio is None or val_ratio is None:  # of an earlier version
        return None
    return Split(seed, train_ratio, val_ratio)


def _of(about: Preprocessed) -> Split:
    return Split(about.seed, about.train_ratio, about.val_ratio)
