"""The summary of `make bench-serving`: a table of medians, ratios of rounds, and what was to be reached."""

import platform
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

from contestants import CONTESTANTS, PRETRAINED
from prepare import COUNT, accuracy, arithmetic_of, side_of
from run import processor

Row = dict
MB = 1e6
QUIET = 0.1
"""Share of the processors that other work may take."""

EAGER, BASELINE, FAST = "eager", "ours", "ours-fast"
TUNED, TUNED_INTEGERS, TUNED_FAST = "lit-openvino", "lit-openvino-integers", "lit-openvino-fast"


def summary(rows: list[Row], models: dict[str, Path], photos: str, installed: int, *, proper: bool) -> tuple[str, bool]:
    """The text, and whether everything was reached."""
    of = {contestant.name: [row for row in rows if row["server"] == contestant.name] for contestant in CONTESTANTS
          if contestant.model in models}
    targets = reached(of, installed) if all(of.values()) else []
    rounds = max(len(mine) for mine in of.values())
    cost = statistics.median(row["clients_8"]["generator_us"] for row in rows)
    others = [row[name]["others"] for row in rows for name in ("clients_8", "clients_32")]
    lines = [
        "# Results of `make bench-serving`", "",
        f"{date.today()}, {processor()}, Python {platform.python_version()}, {COUNT} photos of {photos} in turn as "
        f"multipart forms on connections that stay open. {rounds} rounds; each starts every server afresh, one after "
        f"the other; medians. The generator (wrk) runs on the same machine and takes {cost:.0f} us of processor time a "
        "request. Memory is anonymous, what no file backs; in brackets the largest process with the files it maps. "
        "Processor time is of all processes of the server.",
        f"Other work took {statistics.median(others):.0%} of the processors meanwhile (at most {max(others):.0%})"
        + (": what the clock says is worth little, what the processors' time says is worth more."
           if max(others) > QUIET else "."),
        "",
        "Network `baseline`: the specification's three layers at 224 px, in our file in "
        f"{arithmetic_of(models['baseline'])}; in floats the "
        "engine answers in bfloat16 where the processor has it, as the tuned peer's does. `fast`: the project's own at "
        f"{side_of(models['fast'])} px"
        + (f", trained properly ({accuracy(models['fast'])})" if proper else
           ", after one epoch: its speed and parity are measured, not its accuracy")
        + (f". `{PRETRAINED}`: EfficientNet-Lite0, fine-tuned, at {side_of(models[PRETRAINED])} px "
           f"({accuracy(models[PRETRAINED])})" if PRETRAINED in models else "")
        + ". `catsdogs serve` runs as installed by `pip install catsdogs[serve]`, with metrics, logging and "
        "validation.", "",
        "| server | network | requests/s, 8 clients | p50 / p99 ms | 32 clients | p50 / p99 ms "
        "| processor ms a request | cold start | memory, all processes | largest | from torch, at most |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for contestant in CONTESTANTS:
        if mine := of.get(contestant.name):
            lines.append("| " + " | ".join(_cells(contestant.said, contestant.model, mine)) + " |")
    lines += ["", "| to reach | seen | reached |", "| --- | --- | --- |",
              *(f"| {what} | {seen} | {'yes' if good else '**no**'} |" for what, seen, good in targets)]
    if targets:
        lines += ["", "| beside that | seen |", "| --- | --- |", *(f"| {what} | {seen} |" for what, seen in beside(of))]
    errors = sum(row[f"clients_{count}"][kind] for row in rows for count in (8, 32) for kind in ("refused", "broken"))
    lines += ["", f"Requests that were refused or broken: {errors}."]
    return "\n".join(lines) + "\n", bool(targets) and all(good for *_, good in targets)


def _median(mine: list[Row], pick: Callable[[Row], float]) -> float:
    return statistics.median(map(pick, mine))


def _cells(said: str, model: str, mine: list[Row]) -> list[str]:
    name, _, how = model.partition(" ")
    cells = [said, f"`{name}` {how}".strip()]
    for count in (8, 32):
        clients = f"clients_{count}"
        cells += [f"{_median(mine, lambda row: row[clients]['per_second']):,.0f}",
                  f"{_median(mine, lambda row: row[clients]['p50_ms']):.1f} / "
                  f"{_median(mine, lambda row: row[clients]['p99_ms']):.1f}"]
    memory = mine[-1]["memory"]
    return [*cells, f"{_median(mine, lambda row: row['clients_8']['server_ms']):.2f}",
            f"{_median(mine, lambda row: row['cold_seconds']):.2f} s",
            f"{_median(mine, lambda row: row['memory']['total']) / MB:.0f} MB in {memory['processes']}",
            f"{_median(mine, lambda row: row['memory']['largest']) / MB:.0f} MB "
            f"({_median(mine, lambda row: row['memory']['largest_resident']) / MB:.0f})",
            f"{max(row['largest_difference'] for row in mine):.4f}"]


def reached(of: dict[str, list[Row]], installed: int) -> list[tuple[str, str, bool]]:
    """What the project promises, what was seen, and whether that is enough."""
    found = []
    for what, ours, theirs, counts, least in (
        ("`fast` against eager torch", FAST, EAGER, (8, 32), 20),
        ("`fast` against the tuned peer with `baseline`", FAST, TUNED, (8, 32), 4),
        ("`baseline` against eager torch", BASELINE, EAGER, (8,), 8),
    ):
        for count in counts:
            seen, middle = _times(of, ours, theirs, count)
            found.append((f"{what}, {count} clients: {least} times", seen, middle >= least))
    p99 = _median(of[FAST], lambda row: row["clients_8"]["p99_ms"])
    apart = max(row["largest_difference"] for row in of[BASELINE])
    cold = _median(of[FAST], lambda row: row["cold_seconds"])
    resident = max(row["memory"]["largest_resident"] for row in of[FAST])
    explain = _median(of[FAST], lambda row: row["explain"]["median_ms"])
    return [
        *found, ("`fast`, 8 clients: p99 at most 15 ms", f"{p99:.1f} ms", p99 <= 15),
        (f"`baseline`: {COUNT} answers at most 0.005 from torch's", f"{apart:.4f}", apart <= 0.005),
        ("cold start under 1 s", f"{cold:.2f} s", cold < 1),
        ("under 170 MB a process, mapped files included", f"{resident / MB:.0f} MB", resident < 170 * MB),
        ("the environment under 350 MB", f"{installed / MB:.0f} MB", installed < 350 * MB),
        ("a heat map: under 30 ms more", f"{explain:.1f} ms", explain < 30),
        ("/livez and /readyz under 64 uploads of 12 megapixels: p99 at most 50 ms",
         *probed([row["probes"] for row in of[FAST]])),
    ]


def probed(rounds: list[Row]) -> tuple[str, bool]:
    """Quick probes say something only where photos were answered meanwhile: refusing them all is quick as well. Some
    may be refused in every round, since so many large ones at a time may be more than the service holds."""
    p99 = statistics.median(row["p99_ms"] for row in rounds)
    bad, answered, refused, broken = (sum(row[kind] for row in rounds)
                                      for kind in ("bad", "answered", "refused", "broken"))
    return (f"{p99:.1f} ms, {bad} bad; uploads: {answered:,} answered, {refused:,} refused, {broken} broken",
            p99 <= 50 and not bad and not broken and all(row["answered"] for row in rounds))


def beside(of: dict[str, list[Row]]) -> list[tuple[str, str]]:
    """Ratios that are no goals: what server and engine's options give where a peer has the same file; 32 clients."""
    return [(f"{what}, {count} clients", _times(of, ours, theirs, count)[0])
            for what, ours, theirs, counts in (
                ("`baseline` against eager torch", BASELINE, EAGER, (32,)),
                ("`baseline` against LitServe + OpenVINO on the same file", BASELINE, TUNED_INTEGERS, (8, 32)),
                ("`fast` against LitServe + OpenVINO on the same file", FAST, TUNED_FAST, (8, 32)))
            for count in counts]


def _times(of: dict[str, list[Row]], ours: str, theirs: str, count: int) -> tuple[str, float]:
    ratios, name = _ratios(of[ours], of[theirs], count), f"clients_{count}"
    middle = statistics.median(ratios)
    cost = [_median(of[server], lambda row: row[name]["server_ms"]) for server in (theirs, ours)]
    return (f"{middle:.1f} ({min(ratios):.1f} to {max(ratios):.1f}); by processor time {cost[0] / cost[1]:.1f}", middle)


def _ratios(ours: list[Row], theirs: list[Row], count: int) -> list[float]:
    """Of the rounds, each with itself."""
    other = {row["round"]: row[f"clients_{count}"]["per_second"] for row in theirs}
    return [row[f"clients_{count}"]["per_second"] / other[row["round"]] for row in ours if row["round"] in other]
