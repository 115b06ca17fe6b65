"""What a release or a rollback came to."""

import re
from dataclasses import dataclass
from typing import Any

from catsdogs.champion.decision import Decision
from catsdogs.gate.report import GateReport

TELLING = re.compile(r"error|exception|traceback|refused|fatal|killed|catsdogs serve:|cannot|BackOff|no such", re.I)
LINES_READ, LINES_SHOWN = 200, 15


@dataclass(frozen=True, kw_only=True)
class ReleaseResult:
    kind: str
    passed: bool
    decision: Decision
    public_image: str | None
    public_address: str
    report: GateReport | None
    steps: list[str]  # what was done, in order
    logs: list[str]  # of what failed
    recovered: str | None  # what an earlier, killed release had left

    def text(self) -> str:
        lines = [f"recovered    {self.recovered}"] if self.recovered else []
        lines += [self.report.table()] if self.report else []
        lines += [f"  {step}" for step in self.steps]
        if not self.passed and self.logs:
            lines += ["last lines that tell something:", *(f"  | {line}" for line in self.logs)]
        verdict = "passed" if self.passed else "FAILED: " + "; ".join(self.decision.reasons)
        return "\n".join([*lines, f"public       {self.public_image or 'nothing'} at {self.public_address}",
                          f"{self.kind:<12} {verdict}  -> {self.decision.key}"])

    def data(self) -> dict[str, Any]:
        return {
            "passed": self.passed, "public_image": self.public_image, "public_address": self.public_address,
            "steps": self.steps, "logs": self.logs, "recovered": self.recovered,
            "decision": self.decision.model_dump(mode="json"),
            "gate": self.report.model_dump(mode="json") if self.report else None,
        }


def that_tell(lines: list[str]) -> list[str]:
    """The last lines that name what went wrong; the last ones of all where none does."""
    telling = [line for line in lines if TELLING.search(line)]
    return (telling or lines)[-LINES_SHOWN:]
