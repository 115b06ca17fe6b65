import threading

from catsdogs.train.tracking.usage import Usage


def test_it_reports_under_the_names_that_mlflow_shows_until_it_is_stopped() -> None:
    reports: list[tuple[dict[str, float], int]] = []
    twice = threading.Event()

    def report(figures: dict[str, float], step: int) -> None:
        reports.append((figures, step))
        if step == 1:
            twice.set()

    usage = Usage(report, every=0.01)
    assert twice.wait(60)
    usage.stop()
    count = len(reports)
    assert [step for _, step in reports] == list(range(count))
    for figures, _ in reports:
        assert figures["system/system_memory_usage_megabytes"] > 10
        assert figures["system/cpu_utilization_percentage"] >= 0
    assert not usage._thread.is_alive() and len(reports) == count
