"""What to do about a release or rollback that was killed: its record says how far it was.

    candidate   nothing public had changed: the candidate is taken away
    public      the image before it is set again; a rollback is completed instead: its image was good before
    passed      everything had been proved: the champion is moved
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from catsdogs.champion.decision import Action, Decision, decide, record
from catsdogs.champion.move import champion, move
from catsdogs.champion.registry import mirror
from catsdogs.clusters.cluster import Cluster
from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.release.lease import Lease, held, unfinished
from catsdogs.release.record import Record, this_process
from catsdogs.settings.release import MovingSettings
from catsdogs.stores.store import Store


@contextmanager
def alone(store: Store, settings: MovingSettings, cluster: Cluster, wanted: Record) -> Iterator[tuple[Lease, str]]:
    """The lease for `wanted`, after what a killed release left is put in order; and what that was, or "".

    Raises Busy where another one lives.
    """
    decision = put_in_order(store, settings, cluster)
    with held(store, wanted, unfinished(store), settings.lease_seconds) as lease:
        # Another release may have ended since these were looked up.
        lease.advance("candidate", previous_image=cluster.current_image(), champion=standing_id(store))
        yield lease, decision.text() if decision else ""


def put_in_order(store: Store, settings: MovingSettings, cluster: Cluster) -> Decision | None:
    """Undo or complete what a killed release or rollback left; None where there is nothing. Raises Busy."""
    seen = unfinished(store)
    dead = seen.value
    if dead is None:
        return None
    if dead.cluster != cluster.name:
        raise CatsdogsError(f"A {dead.kind} by {dead.who} died on the {dead.cluster}: run this with the settings of "
                            "that cluster first, so that it can be put in order.")
    event("recovering", kind=dead.kind, by=dead.who, phase=dead.phase, image=dead.image)
    taken = dead.model_copy(update={"host": this_process(), "expires": time.time() + settings.lease_seconds,
                                    "beat": dead.beat + 1})
    with held(store, taken, seen, settings.lease_seconds) as lease:
        decision = _finish(store, settings, cluster, lease)
        lease.advance("done")
    return decision


def standing_id(store: Store) -> str | None:
    now = champion(store).value
    return now.decision.id if now else None


def _finish(store: Store, settings: MovingSettings, cluster: Cluster, lease: Lease) -> Decision:
    dead, now = lease.record, champion(store)
    standing = now.value.decision if now.value else None
    if now.value is not None and standing is not None and dead.phase != "candidate" and now.value.model == dead.model:
        settle(cluster, lease, dead.image, settings.rollout_seconds)  # it died after it had moved the champion
        cluster.stop_candidate()
        record(store, standing)
        return standing
    completed = dead.phase == "passed" or dead.kind == "rollback" and dead.phase == "public"
    if completed and (standing.id if standing else None) == dead.champion:
        settle(cluster, lease, dead.image, settings.rollout_seconds)
        cluster.stop_candidate()
        signed = settings.model_copy(update={"who": dead.who, "why": dead.why})
        return move(store, signed, now, dead.model, dead.kind, evidence=dead.evidence).decision
    action: Action = "abandoned"
    if dead.phase != "candidate":
        settle(cluster, lease, dead.previous_image, settings.rollout_seconds)
        action = "restored"
    lease.look()
    cluster.stop_candidate()
    return write_down(store, settings, lease, action, [f"the {dead.kind} by {dead.who} died in the phase {dead.phase}"])


def settle(cluster: Cluster, lease: Lease, image: str | None, seconds: float) -> None:
    """Let the public service run `image`, and wait until it does. Raises CatsdogsError."""
    lease.look()
    cluster.set_image(image)
    cluster.wait_rolled_out(seconds)


def write_down(
    store: Store, settings: MovingSettings, lease: Lease, action: Action, reasons: list[str]
) -> Decision:
    """A line of the log about what did not become the champion."""
    now = champion(store).value
    standing = now.model if now else None
    decision = decide(action, who=settings.who, why=settings.why, before=standing, after=lease.record.model,
                      evidence=lease.record.evidence, reasons=reasons)
    record(store, decision)
    mirror(settings, "challenger", None, decision, store.url)
    return decision
