"""The rules of `params.yaml`, held against what was found."""

from catsdogs.doctor.report import Copies, LabelCheck, Odd, Rule
from catsdogs.settings.doctor import DoctorSettings


def judge(
    settings: DoctorSettings, *, classes: dict[str, int], files: int, unusable: int, copies: list[Copies],
    odd: list[Odd], labels: LabelCheck | None,
) -> list[Rule]:
    """One result a rule. `files` counts what ingest saw, `unusable` what it could not use of that."""
    photos = max(sum(classes.values()), 1)
    across_splits = sum("across splits" in group.problems for group in copies)
    across_classes = sum("across classes" in group.problems for group in copies)
    fewest, most = min(classes.values(), default=0), max(classes.values(), default=0)
    rules = [
        _most("max_across_splits", "groups of copies in two splits", across_splits, settings.max_across_splits),
        _most("max_across_classes", "groups of copies under two classes", across_classes, settings.max_across_classes),
        _most("max_odd_share", "share of odd ones out", len(odd) / photos, settings.max_odd_share),
        _most("max_refused_share", "share of unusable files", unusable / max(files, 1), settings.max_refused_share),
        _most("max_imbalance", "largest class over smallest", most / max(fewest, 1), settings.max_imbalance),
        Rule(name="min_per_class", words="photos in the smallest class", value=fewest, limit=settings.min_per_class,
             passed=fewest >= settings.min_per_class),
    ]
    if labels is not None and labels.learned:  # else nothing is known of the labels, and the text says so
        share = labels.issues / max(labels.photos, 1)
        rules.append(_most("max_wrong_share", "share of probably wrong labels", share, settings.max_wrong_share))
    return rules


def _most(name: str, words: str, value: float, limit: float) -> Rule:
    return Rule(name=name, words=words, value=value, limit=limit, passed=value <= limit)
