"""`catsdogs release`: a candidate without traffic, the gate over HTTP, the switch, the watch; undone when it fails."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from catsdogs.champion.decision import Action, Decision, Shipped
from catsdogs.champion.move import champion, move
from catsdogs.champion.registry import mirror
from catsdogs.clusters.cluster import CANDIDATE, PUBLIC, Cluster
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.evaluate.client import connected
from catsdogs.evaluate.smoke import smoke_test
from catsdogs.gate.judge import judge
from catsdogs.gate.report import Check, GateReport
from catsdogs.slices import by_class
from catsdogs.log import event
from catsdogs.release.ask import Photo, answers_users, ask_both, model_of, read_photos
from catsdogs.release.lease import Lease, Lost
from catsdogs.release.place import opened
from catsdogs.release.promote import check_said, named_version, summary
from catsdogs.release.record import new_record
from catsdogs.release.recover import alone, settle, standing_id, write_down
from catsdogs.release.result import LINES_READ, ReleaseResult, that_tell
from catsdogs.release.watch import watch
from catsdogs.settings.release import ReleaseSettings
from catsdogs.settings.serving import SmokeTestSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Store

SLACK_MS = 1.0  # over a network: medians of two replicas of one service differ by as much


def release(settings: ReleaseSettings) -> ReleaseResult:
    """Release an image; what fails after the switch is undone before this returns.

    Raises UsageError for a call that cannot be meant, Busy while another release lives, and CatsdogsError where even
    undoing failed: the next release or rollback then goes on with it.
    """
    check_said(settings)
    if not settings.image:
        raise UsageError("--image is not given: name what to release.")
    store, photos = open_store(settings), read_photos(settings.input_csv)
    with opened(settings) as cluster:
        return _released(settings, store, cluster, photos)


def _released(settings: ReleaseSettings, store: Store, cluster: Cluster, photos: list[Photo]) -> ReleaseResult:
    image = cluster.pinned(settings.image)
    expected = named_version(settings.commit, store) if settings.commit else None
    wanted = new_record(
        "release", who=settings.who, why=settings.why, cluster=cluster.name, seconds=settings.lease_seconds,
        image=image, previous_image=cluster.current_image(), champion=standing_id(store),
        model=Shipped(commit=expected.commit if expected else None,
                      model_digest=expected.model_digest if expected else None, image=image))
    with alone(store, settings, cluster, wanted) as (lease, recovered), _stoppable():
        return _Release(settings, store, cluster, photos, lease, expected).run(recovered or None)


@dataclass
class _Release:
    settings: ReleaseSettings
    store: Store
    cluster: Cluster
    photos: list[Photo]
    lease: Lease
    expected: Shipped | None
    report: GateReport | None = None
    steps: list[str] = field(default_factory=list)

    def run(self, recovered: str | None) -> ReleaseResult:
        logs: list[str] = []
        try:
            self.try_candidate()
            self.switch()
            decision = self.crown()
        except Lost:
            raise
        except BaseException as error:  # whatever it is: users must not be left with half a release
            known = isinstance(error, CatsdogsError | OSError)
            reason = str(error).rstrip(".") if known else f"it was interrupted ({type(error).__name__})"
            logs = self.logs() if known else []
            decision = self.undo(reason)
            if not known:
                self.lease.advance("done")
                raise
        self.lease.advance("done")
        return ReleaseResult(
            kind="release", passed=not decision.reasons, decision=decision, recovered=recovered, report=self.report,
            public_image=self.cluster.current_image(), public_address=self.cluster.public_address(),
            steps=self.steps, logs=logs)

    def try_candidate(self) -> None:
        """Everything that can be known without a user's request. Raises CatsdogsError."""
        self.lease.look()
        address = self.cluster.start_candidate(self.image, self.settings.ready_seconds)
        self.step(f"the candidate {self.image} is ready")
        self.smoke(address)
        model = asyncio.run(_model(address, self.settings.timeout_seconds))
        if self.expected is not None and model.model_digest != self.expected.model_digest:
            raise CatsdogsError(f"The image holds {model.name}, not {self.expected.name}: build it from that commit's "
                                "model")
        commit = self.expected.commit if self.expected else model.commit
        self.lease.advance("candidate", model=model.model_copy(update={"image": self.image, "commit": commit}))
        mirror(self.settings, "challenger", self.lease.record.model, None, self.store.url)
        self.judge(address)

    def judge(self, candidate: str) -> None:
        public = self.cluster.public_address() if self.lease.record.previous_image else None
        if public is not None and not asyncio.run(answers_users(public)):
            event("no_champion", because=f"{public} is not ready: only the limits are checked")
            public = None
        new, old, errors = asyncio.run(ask_both(candidate, public, self.photos, timeout=self.settings.timeout_seconds,
                                                concurrency=self.settings.concurrency))
        answered = Check(name="answered", passed=not errors, text="; ".join(errors) or
                         f"all {len(self.photos):,} photos were answered")
        truth = [photo.label for photo in self.photos]
        self.report = judge(truth, by_class(truth), new, old, self.settings, further=[answered], slack_ms=SLACK_MS)
        self.report.write(self.settings.output_json)
        self.lease.advance("candidate", evidence=summary(self.report) | {"gate": self.settings.gate})
        if self.report.passed:
            self.step(f"the gate passed on {len(truth):,} photos")
        elif self.settings.gate:
            raise CatsdogsError("The gate refused it: " + "; ".join(self.report.reasons))
        else:
            self.step("the gate refused it, but --no-gate was given")

    def switch(self) -> None:
        """The public image, watched for a while. Raises CatsdogsError."""
        self.lease.advance("public")
        settle(self.cluster, self.lease, self.image, self.settings.rollout_seconds)
        self.step("all public replicas run it")
        address = self.cluster.public_address()
        self.smoke(address)
        watched = asyncio.run(watch(address, self.photos, self.settings, self.lease.look, self.cluster))
        self.step(f"watched {watched.sent} public requests: {watched.failed} failed, p99 {watched.p99_ms:.0f} ms")

    def crown(self) -> Decision:
        self.lease.advance("passed")
        now = champion(self.store)
        if (now.value.decision.id if now.value else None) != self.lease.record.champion:
            raise CatsdogsError("Somebody promoted another model meanwhile, which this one was not compared with")
        moved = move(self.store, self.settings, now, self.lease.record.model, "release",
                     evidence=self.lease.record.evidence)
        mirror(self.settings, "challenger", None, None, self.store.url)
        self.cluster.stop_candidate()
        self.step("it is the champion" if moved.changed else "it was the champion already")
        return moved.decision

    def undo(self, reason: str) -> Decision:
        """Back to what was, and a line of the log. Raises CatsdogsError with both reasons where that fails."""
        record = self.lease.record
        action: Action = "refused"
        try:
            if record.phase != "candidate":
                settle(self.cluster, self.lease, record.previous_image, self.settings.rollout_seconds)
                self.step(f"restored {record.previous_image or 'that nothing runs'}")
                action = "restored"
            self.lease.look()
            self.cluster.stop_candidate()
        except CatsdogsError as error:
            raise CatsdogsError(f"{reason}; and undoing it failed: {str(error).rstrip('.')}; run `catsdogs rollback` "
                                f"after {record.clock()}, which goes on with it.") from None
        return write_down(self.store, self.settings, self.lease, action, [reason])

    def smoke(self, address: str) -> None:
        result = smoke_test(SmokeTestSettings(
            base_url=address, model_path=self.settings.model_path, wait_seconds=self.settings.ready_seconds,
            max_latency_ms=1000 * self.settings.timeout_seconds))
        if not result.passed:
            broken = "; ".join(f"{check.name}: {check.reason}" for check in result.checks if not check.passed)
            raise CatsdogsError(f"The smoke test of {address} failed: {broken.rstrip('.')}")
        self.step(f"the smoke test of {address} passed")

    def logs(self) -> list[str]:
        of = CANDIDATE if self.lease.record.phase == "candidate" else PUBLIC
        try:
            return that_tell(self.cluster.logs(of, LINES_READ))
        except CatsdogsError as error:
            return [f"the logs cannot be read: {error}"]

    def step(self, text: str) -> None:
        self.steps.append(text)
        event("release", step=text)

    @property
    def image(self) -> str:
        return self.lease.record.image or ""


async def _model(address: str, timeout: float) -> Shipped:
    async with connected(address, timeout) as client:
        about = await model_of(client)
    return Shipped(commit=(about.get("lineage") or {}).get("commit"), model_digest=about.get("model_digest"),
                   image=None)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, which a cancelled workflow sends, undoes a release as Ctrl-C does."""
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before: Callable[..., object] | int | None = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
