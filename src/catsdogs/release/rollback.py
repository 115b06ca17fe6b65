"""`catsdogs rollback`: the image and the champion before the last release come back."""

import os
from pathlib import Path

from catsdogs.champion.decision import Decision, Shipped
from catsdogs.champion.move import champion, move, to_undo
from catsdogs.clusters.cluster import PUBLIC, Cluster
from catsdogs.errors import CatsdogsError
from catsdogs.evaluate.smoke import smoke_test
from catsdogs.release.lease import Lease
from catsdogs.release.place import opened
from catsdogs.release.promote import check_said
from catsdogs.release.record import new_record
from catsdogs.release.recover import alone, put_in_order, settle, write_down
from catsdogs.release.result import LINES_READ, ReleaseResult, that_tell
from catsdogs.settings.release import RollbackSettings
from catsdogs.settings.serving import SmokeTestSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Store

NO_MODEL = Path(os.devnull)  # what lies on this disk is the newer model, not the one to go back to
SLOWEST_MS = 30_000.0  # one goes back when all is slow: that must not be what prevents it


def rollback(settings: RollbackSettings) -> ReleaseResult:
    """Undo the last release, or the one that was killed half-way.

    Raises CatsdogsError where there is nothing to go back to, Busy while a release lives.
    """
    check_said(settings)
    with opened(settings) as cluster:
        return _rolled_back(settings, open_store(settings), cluster)


def _rolled_back(settings: RollbackSettings, store: Store, cluster: Cluster) -> ReleaseResult:
    recovered = put_in_order(store, settings, cluster)
    if recovered is not None and recovered.action != "release":
        return _result(cluster, recovered, True, recovered.text(), ["put in order what a killed release had begun"], [])
    standing = to_undo(champion(store))
    back = _to_go_back_to(standing, store)
    wanted = new_record("rollback", who=settings.who, why=settings.why, cluster=cluster.name,
                        seconds=settings.lease_seconds, image=back.image, previous_image=cluster.current_image(),
                        model=back, champion=standing.id if standing else None)
    said = recovered.text() if recovered else None
    with alone(store, settings, cluster, wanted) as (lease, _):
        if lease.record.champion != (standing.id if standing else None):
            lease.advance("done")
            raise CatsdogsError("The champion changed just now: look at it, and run this again if it is still wanted.")
        lease.advance("public")
        try:
            settle(cluster, lease, back.image, settings.rollout_seconds)
            _smoke(cluster, settings)
        except CatsdogsError as error:
            logs = that_tell(cluster.logs(PUBLIC, LINES_READ))
            decision = _gone_on(store, settings, cluster, lease, str(error).rstrip("."))
            lease.advance("done")
            return _result(cluster, decision, False, said, [f"restored {lease.record.previous_image}"], logs)
        decision = move(store, settings, champion(store), back, "rollback").decision
        cluster.stop_candidate()
        lease.advance("done")
    return _result(cluster, decision, True, said, [f"all public replicas run {back.image}"], [])


def _gone_on(store: Store, settings: RollbackSettings, cluster: Cluster, lease: Lease, reason: str) -> Decision:
    """The image to go back to does not run: stay with the one that does."""
    settle(cluster, lease, lease.record.previous_image, settings.rollout_seconds)
    return write_down(store, settings, lease, "restored", [reason])


def _to_go_back_to(standing: Decision | None, store: Store) -> Shipped:
    if standing is None:
        raise CatsdogsError(f"There is nothing to go back to: {store.url} has no champion, or its last promotion was "
                            "taken back already; release an image by name instead.")
    if standing.before is None:
        raise CatsdogsError(f"There is nothing to go back to: {standing.after.name if standing.after else 'it'} is the "
                            "first champion; release an image by name instead.")
    if standing.before.image is None:
        raise CatsdogsError(f"There is nothing to go back to: no image is recorded for {standing.before.name}; release "
                            "an image by name instead.")
    return standing.before


def _smoke(cluster: Cluster, settings: RollbackSettings) -> None:
    result = smoke_test(SmokeTestSettings(base_url=cluster.public_address(), model_path=NO_MODEL,
                                          wait_seconds=settings.ready_seconds, max_latency_ms=SLOWEST_MS))
    if not result.passed:
        raise CatsdogsError("The smoke test failed: " + "; ".join(
            f"{check.name}: {check.reason}" for check in result.checks if not check.passed))


def _result(
    cluster: Cluster, decision: Decision, passed: bool, recovered: str | None, steps: list[str], logs: list[str]
) -> ReleaseResult:
    return ReleaseResult(kind="rollback", passed=passed, decision=decision, report=None, steps=steps, logs=logs,
                         recovered=recovered, public_image=cluster.current_image(),
                         public_address=cluster.public_address())
