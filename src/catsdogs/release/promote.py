"""`catsdogs promote`: name the champion by hand, or take the last promotion back."""

import hashlib
from dataclasses import dataclass
from typing import Any

from catsdogs.artifacts import ModelCard
from catsdogs.champion.decision import Evidence, Shipped
from catsdogs.champion.move import Moved, champion, move, to_undo
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.gate.report import GateReport
from catsdogs.settings.promotion import PromoteSettings, RegistrySettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Missing, Store


@dataclass(frozen=True)
class PromoteResult:
    moved: Moved | None  # None: there was nothing left to undo

    def text(self) -> str:
        if self.moved is None:
            return "unchanged    the last promotion was taken back already"
        decision, after = self.moved.decision, self.moved.decision.after
        name = after.name if after else "none: the first promotion was taken back"
        if not self.moved.changed:
            return f"unchanged    {name} is the champion since {decision.when}"
        before = f"instead of {decision.before.name}" if decision.before else "the first one"
        mirrored = "" if self.moved.mirrored else "\nmlflow       was not told"
        return f"champion     {name}\n             {before}  -> {decision.key}{mirrored}"

    def data(self) -> dict[str, Any]:
        if self.moved is None:
            return {"changed": False, "decision": None}
        return {"changed": self.moved.changed, "mirrored": self.moved.mirrored,
                "decision": self.moved.decision.model_dump(mode="json")}


def promote(settings: PromoteSettings) -> PromoteResult:
    """Promote or undo; done twice, it changes nothing the second time.

    Raises UsageError where the call does not say what or why, CatsdogsError for evidence that is none, for nothing to
    undo, and where somebody else was faster.
    """
    check_said(settings)
    store = open_store(settings)
    seen = champion(store)
    if settings.undo:
        if settings.commit or settings.model_path or settings.evidence or settings.image:
            raise UsageError("--undo takes back the last promotion: name no model with it.")
        standing = to_undo(seen)
        if standing is None:
            if seen.value is None:
                raise CatsdogsError(f"{store.url} has no champion: there is nothing to undo.")
            return PromoteResult(None)
        return PromoteResult(move(store, settings, seen, standing.before, "undo"))
    after = _named(settings, store)
    evidence = _evidence(settings, after, seen.value.model if seen.value else None)
    return PromoteResult(move(store, settings, seen, after, "promote", evidence=evidence))


def check_said(settings: RegistrySettings) -> None:
    """Raises UsageError unless somebody says who decides, and why."""
    for flag, value in (("who", settings.who), ("why", settings.why)):
        if not value.strip():
            raise UsageError(f"--{flag} is not given: the log says who decided, and why.")


def _named(settings: PromoteSettings, store: Store) -> Shipped:
    if (settings.commit is None) == (settings.model_path is None):
        raise UsageError("Name the model with either --commit or --model-path (or --undo the last promotion).")
    if settings.model_path is not None:
        from catsdogs.predictor import read_card

        card: ModelCard = read_card(settings.model_path)
        return Shipped(commit=card.lineage.commit, model_digest=card.model_digest, image=settings.image)
    return named_version(settings.commit or "", store).model_copy(update={"image": settings.image})


def named_version(name: str, store: Store) -> Shipped:
    """The model of a commit, or of the first digits of one. Raises CatsdogsError where the bucket holds none."""
    commit = _whole(name, store)
    try:
        digest = hashlib.sha256(store.read(f"models/{commit}/model.pt")).hexdigest()
    except Missing:
        raise CatsdogsError(f"{store.url}/models/{commit} holds no model.pt: push it with `catsdogs push`.") from None
    return Shipped(commit=commit, model_digest=digest, image=None)


def _whole(commit: str, store: Store) -> str:
    known = store.folders("models/")
    fitting = [commit] if commit in known else [name for name in known if name.startswith(commit) and commit]
    if len(fitting) != 1:
        what = "names several models" if fitting else "is no model"
        raise CatsdogsError(f"--commit {commit} {what} of {store.url}: `catsdogs push` stores one, `catsdogs versions` "
                            "lists them.")
    return fitting[0]


def _evidence(settings: PromoteSettings, after: Shipped, standing: Shipped | None) -> Evidence:
    if settings.evidence is None:
        return {}
    report = GateReport.read(settings.evidence, "`catsdogs gate`")
    judged = report.challenger.model_digest
    if judged != after.model_digest:
        raise CatsdogsError(f"{settings.evidence} judges model {(judged or 'unknown')[:12]}, not "
                            f"{(after.model_digest or '')[:12]}: run `catsdogs gate` on this one.")
    if not report.passed:
        raise CatsdogsError(f"{settings.evidence} refused this model ({'; '.join(report.reasons)}): promote without "
                            "--evidence if you know better, and say so with --why.")
    other = standing.model_digest if standing and standing.model_digest != judged else None
    compared = report.champion.model_digest if report.champion else None
    if other is not None and compared != other:
        raise CatsdogsError(f"{settings.evidence} compares with {(compared or 'no champion')[:12]}, but the champion "
                            f"is {other[:12]}: run `catsdogs gate` with it as --champion.")
    return summary(report)


def summary(report: GateReport) -> Evidence:
    """What a gate's report comes to, for the log."""
    paired = report.paired
    return {"accuracy": report.challenger.accuracy.value, "photos": report.photos, "passed": report.passed,
            "splits_digest": report.splits_digest, "champion": report.champion.version if report.champion else None,
            "loss_at_most": paired.loss_at_most if paired else None, "p_value": paired.p_value if paired else None}
