"""`catsdogs runs`: the recorded trainings in a table, or some of them side by side."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.mlflow_server import NOTHING, client, first_line, probe, without_password
from catsdogs.settings.training import RunsSettings

SQLITE = "sqlite:///"
DIGITS = 8
MOST = 5000  # runs that are looked through
SHARES = frozenset({"test_accuracy", "best_val_accuracy", "val_accuracy"})
COLUMNS = ("best_val_accuracy", "test_accuracy", "test_loss")
PASSING = ("step_", "system/")  # of the figures those that say nothing about the outcome


@dataclass(frozen=True, kw_only=True)
class Run:
    run_id: str
    status: str
    started: float  # seconds since 1970
    seconds: float | None  # None while it runs
    parameters: dict[str, str]
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        return self.run_id[:DIGITS]


@dataclass(frozen=True, kw_only=True)
class RunsResult:
    uri: str
    experiment: str
    runs: list[Run]
    compared: bool

    def text(self) -> str:
        if not self.runs:
            return f"No run is recorded in {self.experiment!r} at {self.uri}: `catsdogs train` records one."
        return _side_by_side(self.runs) if self.compared else _table(self.runs)

    def data(self) -> dict[str, Any]:
        return {"uri": self.uri, "experiment": self.experiment, "runs": [asdict(run) for run in self.runs]}


def runs(settings: RunsSettings) -> RunsResult:
    """Read the runs. Raises CatsdogsError where nobody answers, UsageError for runs that are not there."""
    uri = settings.mlflow_tracking_uri
    if uri == NOTHING:
        raise UsageError("--mlflow-tracking-uri none records nothing: name a server's address or a database.")
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():  # or MLflow would make one
        return RunsResult(uri=uri, experiment=settings.mlflow_experiment, runs=[], compared=False)
    try:
        probe(uri)
        found = _read(uri, settings.mlflow_experiment)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever a server, a proxy or a database answers
        raise CatsdogsError(f"{without_password(uri)} cannot be read: {first_line(error)}.") from None
    chosen = _named(found, settings.compare) if settings.compare else _best(found, settings.sort)[:settings.limit]
    return RunsResult(uri=without_password(uri), experiment=settings.mlflow_experiment, runs=chosen,
                      compared=bool(settings.compare))


def _read(uri: str, experiment: str) -> list[Run]:
    server = client(uri)
    known = server.get_experiment_by_name(experiment)
    if known is None:
        return []
    found: list[Run] = []
    page = None
    while len(found) < MOST:
        rows = server.search_runs([known.experiment_id], max_results=1000, page_token=page)
        found += [
            Run(run_id=row.info.run_id, status=row.info.status, started=row.info.start_time / 1000,
                seconds=(row.info.end_time - row.info.start_time) / 1000 if row.info.end_time else None,
                parameters=dict(row.data.params), metrics=dict(row.data.metrics))
            for row in rows
        ]
        if not (page := rows.token):
            break
    return found


def _named(found: list[Run], names: list[str]) -> list[Run]:
    chosen = []
    for name in names:
        matching = [run for run in found if run.run_id.startswith(name)]
        if len(matching) != 1:
            raise UsageError(f"--compare {name}: {len(matching) or 'no'} runs begin so; `catsdogs runs` lists them.")
        chosen += matching
    return chosen


def _best(found: list[Run], figure: str) -> list[Run]:
    """Best first; runs without the figure last, the newest of them first."""
    if figure == "started":
        return sorted(found, key=lambda run: -run.started)
    known = {name for run in found for name in run.metrics}
    usual = RunsSettings.model_fields["sort"].default  # which no run has until one is finished
    if found and figure not in known | {usual}:
        raise UsageError(f"--sort {figure}: no run has that figure; known are {', '.join(sorted(known)) or 'none'}.")
    sign = 1 if figure.endswith("loss") else -1
    with_figure = sorted((run for run in found if figure in run.metrics), key=lambda run: sign * run.metrics[figure])
    return with_figure + sorted((run for run in found if figure not in run.metrics), key=lambda run: -run.started)


def _table(found: list[Run]) -> str:
    head = ["run", "started", "minutes", "status", "variant", "epochs", *COLUMNS]
    rows = [[
        run.name, time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started)),
        "" if run.seconds is None else f"{run.seconds / 60:.1f}", run.status.lower(),
        run.parameters.get("model_variant", ""), _length(run),
        *(_figure(name, run.metrics.get(name)) for name in COLUMNS),
    ] for run in found]
    return _aligned([head, *rows])


def _side_by_side(found: list[Run]) -> str:
    parameters = sorted({name for run in found for name in run.parameters})
    differing = [name for name in parameters if len({run.parameters.get(name) for run in found}) > 1]
    metrics = sorted({name for run in found for name in run.metrics if not name.startswith(PASSING)})
    return _aligned([
        ["", *(run.name for run in found)],
        *([name, *(run.parameters.get(name, "") for run in found)] for name in differing),
        *([name, *(_figure(name, run.metrics.get(name)) for run in found)] for name in metrics),
    ])


def _length(run: Run) -> str:
    budget = run.parameters.get("time_budget", "None")
    return run.parameters.get("epochs", "") if budget == "None" else f"{float(budget):g} s"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if name in SHARES else f"{value:.4f}"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)
