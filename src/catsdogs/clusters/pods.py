"""What the pods of a Deployment tell of themselves, as `kubectl get pods --output=json` lists them."""

from collections.abc import Mapping
from typing import Any

HOPELESS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError",
                      "CreateContainerError", "CrashLoopBackOff"})
MANY_RESTARTS = 3  # a container that keeps ending, seen between two of its starts
Pod = Mapping[str, Any]


def name(pod: Pod) -> str:
    return str(pod["metadata"]["name"])


def ready(pod: Pod) -> bool:
    found = _statuses(pod)
    return bool(found) and all(status.get("ready") for status in found)


def answers(pod: Pod) -> bool:
    """Whether a balancer may still lead to it: also once it is told to go, until its containers have ended. Not by
    `ready`, which a node that was lost leaves as it was.
    """
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def runs(pod: Pod, image: str) -> bool:
    return any(container.get("image") == image for container in pod["spec"]["containers"])


def restarts(pod: Pod) -> int:
    return sum(int(status.get("restartCount", 0)) for status in _statuses(pod))


def waiting(pod: Pod) -> list[str]:
    """Why its containers do not run, reason first."""
    found = []
    for status in _statuses(pod):
        state = status.get("state", {}).get("waiting") or {}
        if reason := state.get("reason"):
            found.append(f"{reason}: {state.get('message', '')}".rstrip(": "))
        elif status.get("restartCount", 0) >= MANY_RESTARTS and not status.get("ready"):
            found.append(f"CrashLoopBackOff: it ended {status['restartCount']} times")
    return found


def hopeless(pod: Pod) -> list[str]:
    """The reasons of `waiting` that time does not heal."""
    return [why for why in waiting(pod) if why.split(":")[0] in HOPELESS]


def ailment(pod: Pod, before: Mapping[str, int]) -> str:
    """What is wrong with a pod of the public service, or "". `before`: name -> restarts, of those that were ready.

    A pod that came later is on its way for as long as it is not hopeless: the autoscaler and a drained node make such.
    One that is asked to go is no longer the service's.
    """
    if pod["metadata"].get("deletionTimestamp"):
        return ""
    if (count := restarts(pod)) > before.get(name(pod), 0):
        return f"{name(pod)} ended{_ending(pod)} and was started again ({count} times so far)"
    if reasons := hopeless(pod):
        return f"{name(pod)} does not run: {reasons[0]}"
    return f"{name(pod)} is not ready any more" if name(pod) in before and not ready(pod) else ""


def _ending(pod: Pod) -> str:
    """How its last container ended: " (OOMKilled, status 137)"."""
    for status in _statuses(pod):
        ended = status.get("lastState", {}).get("terminated") or {}
        if "exitCode" in ended:
            return f" ({ended.get('reason', 'Error')}, status {ended['exitCode']})"
    return ""


def _statuses(pod: Pod) -> list[Mapping[str, Any]]:
    return pod.get("status", {}).get("containerStatuses") or []
