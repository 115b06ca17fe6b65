"""A cluster on one machine: replicas behind our proxy, remembered in a file, so that every command finds them again.

A new image never takes the place of the old one before it is ready, and the old replicas stop once nothing is under
way with them: a client that sends all the time loses no request.
"""

import time
from pathlib import Path

from catsdogs.clusters.cluster import CANDIDATE, PUBLIC, NotRolledOut
from catsdogs.clusters.detached import answers, get_json
from catsdogs.clusters.front import Front
from catsdogs.clusters.replicas import Replica, Replicas, State
from catsdogs.files import write_json

POLL_SECONDS = 0.1
DRAIN_SECONDS = 30.0


class LocalCluster:
    """`replicas` knows how to start and stop one; everything else is the same for containers and processes."""

    def __init__(self, replicas: Replicas, folder: Path, count: int, port: int) -> None:
        self.name = f"{replicas.kind} cluster in {folder}"
        self._replicas, self._count = replicas, count
        self._file = folder / "state.json"
        self._front = Front(folder, port)

    def pinned(self, image: str) -> str:
        return self._replicas.pinned(image)

    def current_image(self) -> str | None:
        return self._state().image

    def public_address(self) -> str:
        return self._front.address()

    def start_candidate(self, image: str, seconds: float) -> str:
        self.stop_candidate()
        candidate = self._replicas.start(image, CANDIDATE)
        self._save(self._state().model_copy(update={"candidate": candidate}))
        self._wait_ready([candidate], seconds)
        return candidate.address

    def stop_candidate(self) -> None:
        state = self._state()
        self._replicas.sweep(CANDIDATE)
        if state.candidate is not None:
            self._replicas.stop(state.candidate)
            self._save(state.model_copy(update={"candidate": None}))

    def set_image(self, image: str | None) -> None:
        state = self._state()
        names = [f"{PUBLIC}-{state.generation + 1}-{number}" for number in range(self._count)]
        for replica in state.coming:
            self._replicas.stop(replica)
        for name in names:
            self._replicas.sweep(name)
        state = state.model_copy(update={"image": image, "coming": []})
        self._save(state)
        if image is None or self._serves(state):
            return
        for name in names:
            state.coming.append(self._replicas.start(image, name))
            self._save(state)
        self._save(state.model_copy(update={"generation": state.generation + 1}))

    def wait_rolled_out(self, seconds: float) -> None:
        state = self._state()
        if state.coming or not self._serves(state):
            self._wait_ready(state.coming, seconds)
            state = state.model_copy(update={"serving": state.coming, "coming": [],
                                             "leaving": [*state.leaving, *state.serving]})
            self._save(state)
        self._front.lead_to([replica.address for replica in state.serving])
        self._front.drained([replica.address for replica in state.leaving], DRAIN_SECONDS)
        for replica in state.leaving:
            self._replicas.stop(replica)
        self._save(state.model_copy(update={"leaving": []}))

    def ailing(self) -> list[str]:
        found = (self._ailment(replica) for replica in self._state().serving)
        return [ailment for ailment in found if ailment]

    def logs(self, of: str, lines: int) -> list[str]:
        state = self._state()
        if of == CANDIDATE:
            asked = [state.candidate] if state.candidate else []
        else:
            asked = state.coming or sorted(state.serving, key=lambda replica: bool(self._ailment(replica)))
        return [line for replica in asked for line in self._replicas.logs(replica, lines)][-lines:]

    def close(self) -> None:
        """Nothing: the replicas and the proxy are meant to outlive this process."""

    def replicas(self) -> dict[str, bool]:
        """Address of each public replica -> whether it is ready."""
        return {replica.address: answers(f"{replica.address}/readyz") for replica in self._state().serving}

    def stop(self) -> None:
        """Stop every replica and the proxy, and forget them."""
        self.stop_candidate()
        state = self._state()
        self._front.stop()
        for replica in [*state.coming, *state.serving, *state.leaving]:
            self._replicas.stop(replica)
        self._file.unlink(missing_ok=True)

    def _serves(self, state: State) -> bool:
        """Whether the public replicas are all there and run the image that is meant."""
        if state.image is None:
            return not state.serving
        return len(state.serving) == self._count and all(
            replica.image == state.image and self._replicas.alive(replica) for replica in state.serving)

    def _ailment(self, replica: Replica) -> str:
        if not self._replicas.alive(replica):
            return f"{replica.name} ended"
        if answers(f"{replica.address}/readyz"):
            return ""
        why = get_json(f"{replica.address}/readyz").get("reason", "it does not answer")
        return f"{replica.name} is not ready any more: {why}"

    def _wait_ready(self, replicas: list[Replica], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        waiting = list(replicas)
        while waiting:
            for replica in waiting:
                if not self._replicas.alive(replica):
                    raise NotRolledOut(f"The image {replica.image} does not start: its replica {replica.name} ended.")
            waiting = [replica for replica in waiting if not answers(f"{replica.address}/readyz")]
            if waiting and time.monotonic() > deadline:
                why = get_json(f"{waiting[0].address}/readyz").get("reason", "it does not answer")
                raise NotRolledOut(f"The image {waiting[0].image} was not ready within {seconds:g} s: {why}.")
            time.sleep(POLL_SECONDS if waiting else 0)

    def _state(self) -> State:
        if not self._file.exists():
            return State()
        return State.read(self._file, "`catsdogs cluster --stop`, which forgets it")

    def _save(self, state: State) -> None:
        write_json(self._file, state.model_dump(mode="json"))
