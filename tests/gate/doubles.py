"""Fakes that implement the gate room's protocols, for tests of the run itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interlock.gate import (
    Coverage,
    Decision,
    GateContext,
    Json,
    Observation,
    OpenSubject,
    Recorded,
    Report,
    RunIdentity,
    Subject,
    Tool,
    Verdict,
)

RUN = RunIdentity(orchestrator="cli", pipeline="p", run_id="r", task_id="t")
CONTEXT = GateContext(run=RUN, profile="dev")
SUBJECT = Subject(name="train.parquet", uri="/lake/train.parquet", digest="ab" * 32)


@dataclass
class FixedGate:
    """A gate that sees what it is told to see, or raises it."""

    sees: Observation | Exception = field(default_factory=lambda: Observation(coverage=Coverage(looked_at=("",))))
    kind: str = "data-validation"
    tools: tuple[Tool, ...] = (Tool(name="fixed", version="1"),)

    def configuration(self) -> Mapping[str, Json]:
        return {"fixed": True}

    def look(self, opened: OpenSubject) -> Observation:
        if isinstance(self.sees, Exception):
            raise self.sees
        return self.sees


class FixedOpener:
    """Opens one subject that never changes."""

    @contextmanager
    def open(self, uri: str) -> Iterator[OpenSubject]:
        yield OpenSubject(subject=SUBJECT, path=Path("/nowhere"), files=("",))


@dataclass
class FixedDecider:
    """Says what it is told to say and keeps what it was asked."""

    says: Decision = field(default_factory=lambda: Decision(verdict=Verdict.ALLOW))
    asked: list[Mapping[str, Json]] = field(default_factory=list)

    def decide(self, document: Mapping[str, Json]) -> Decision:
        self.asked.append(document)
        return self.says


@dataclass
class ListRecorder:
    """Keeps receipts in a list."""

    kept: list[tuple[Report, Decision]] = field(default_factory=list)

    def record(
        self, report: Report, decision: Decision, context: GateContext, *, materials: Sequence[Subject] = ()
    ) -> Recorded:
        self.kept.append((report, decision))
        return Recorded(receipt_id=f"receipt-{len(self.kept)}", envelope_digest="cd" * 32)
