"""What is read from pods as a cluster describes them."""

from typing import Any

from catsdogs.clusters.pods import ailment, answers, hopeless, ready


def pod(ready: bool = True, restarts: int = 0, gone: bool = False, **status: Any) -> dict[str, Any]:
    metadata = {"name": "api-1"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if gone else {})
    return {"metadata": metadata, "spec": {"containers": [{"image": "i"}]}, "status": {"containerStatuses": [
        {"ready": ready, "restartCount": restarts, "state": {"running": {}}} | status]}}


WAITING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
THERE = {"api-1": 1}  # it was ready, and had been started anew once before


def test_a_replica_that_was_well_and_is_not() -> None:
    assert ailment(pod(restarts=1), THERE) == ""
    assert ailment(pod(ready=False, restarts=1), THERE) == "api-1 is not ready any more"
    assert ailment(pod(restarts=2, lastState=KILLED), THERE) == (
        "api-1 ended (OOMKilled, status 137) and was started again (2 times so far)")
    assert ailment(pod(ready=False, restarts=1, state=WAITING), THERE) == (
        "api-1 does not run: CrashLoopBackOff: back-off 10s")


def test_a_replica_that_came_later_may_take_its_time_but_not_end() -> None:
    assert ailment(pod(ready=False), {}) == ""
    assert ailment({"metadata": {"name": "api-2"}, "spec": {}, "status": {}}, THERE) == ""  # not on a node yet
    assert ailment(pod(ready=False, restarts=1), {}).startswith("api-1 ended and was started again")
    assert "ErrImagePull" in ailment(pod(ready=False, state={"waiting": {"reason": "ErrImagePull"}}), {})


def test_a_replica_that_was_asked_to_go_is_nobodys_any_more() -> None:
    assert ailment(pod(ready=False, restarts=9, gone=True), THERE) == ""


def test_what_keeps_ending_is_hopeless_between_two_starts_too() -> None:
    assert hopeless(pod(ready=False, restarts=3)) == ["CrashLoopBackOff: it ended 3 times"]
    assert hopeless(pod(ready=False, state={"waiting": {"reason": "ContainerCreating"}})) == []
    assert not ready({"metadata": {"name": "x"}, "spec": {"containers": []}})


def test_what_is_told_to_go_answers_until_it_ends_unless_its_node_is_lost() -> None:
    assert not answers({"metadata": {"name": "x"}, "spec": {}, "status": {}})
    for status, expected in (("True", True), ("False", False)):
        going = pod(gone=True)
        scheduled = {"type": "PodScheduled", "status": "True"}
        going["status"]["conditions"] = [scheduled, {"type": "Ready", "status": status}]
        assert ready(going) and answers(going) is expected
