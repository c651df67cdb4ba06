"""The approval gate: one person's answer about exactly these bytes, as a report for policy to judge.

It asks nobody and reads no record itself. Whoever uses it (an Airflow operator, a gate service) has asked, waited and
read the orchestrator's own record, and hands over what stands there as an `Answer`. Whether that is an approval is
policy's business (``policies/interlock/deployment/answer``): here a rejection, silence and a forged answer are reported
like any other, so that each leaves a receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from interlock.gate.documents import canonical_json, timestamp
from interlock.gate.errors import PolicyError, UsageError
from interlock.gate.protocols import OpenSubject
from interlock.gate.values import Coverage, Finding, Json, Level, Observation, Tool

RULE = "approval.answer"
STEPS = ("training", "deployment")


class Choice(Enum):
    """What the record says was answered."""

    APPROVED = "approved"
    REJECTED = "rejected"
    NONE = "none"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who the orchestrator says answered.

    Args:
        id: Its id for the user.
        name: The name under which the user logged in; policy lists these.
    """

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Who set the run going.

    Args:
        names: As the orchestrator spells them; several where other runs led to this one. Empty when nobody did.
        known: Whether that is all of them; False where the orchestrator does not say.
    """

    names: tuple[str, ...] = ()
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person answered, as the orchestrator's own record has it.

    Args:
        step: What was asked for: ``training`` or ``deployment``.
        choice: The answer.
        asked: sha256 of the bytes that the question named.
        by: Who answered; None where the record names nobody, as for an answer that the task gave itself.
        answered: When, UTC; None when nobody did.
        behind: Who set the run going.
        via: The orchestrator, with its version.
        record: Where the record lies, for people.
    """

    step: str
    choice: Choice
    asked: str
    by: Person | None
    answered: datetime | None
    behind: Behind
    via: Tool
    record: str

    def document(self) -> dict[str, Json]:
        """The fact ``approval`` of a report."""
        return {
            "step": self.step,
            "choice": self.choice.value,
            "asked": {"sha256": self.asked},
            "by": {"id": self.by.id, "name": self.by.name} if self.by is not None else None,
            "answered": timestamp(self.answered) if self.answered is not None else None,
            "behind": {"known": self.behind.known, "names": list(self.behind.names)},
            "via": self.via.name,
            "record": self.record,
        }


class ApprovalGate:
    """Implements `interlock.gate.Gate` over an answer that was read already.

    Args:
        answer: From the orchestrator's own record.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def kind(self) -> str:
        """``approval``."""
        return "approval"

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The orchestrator that logged the person in and kept the answer."""
        return (self._answer.via,)

    def configuration(self) -> Mapping[str, Json]:
        """What was asked for."""
        return {"step": self._answer.step}

    def look(self, opened: OpenSubject) -> Observation:
        """Report the answer; the bytes themselves were looked at by the other gates and by the person."""
        answer = self._answer
        who = f"{answer.by.name!r} (id {answer.by.id!r})" if answer.by is not None else "nobody whom the record names"
        finding = Finding(
            rule_id=RULE, level=Level.NOTE, message=f"{answer.choice.value}, by {who}", evidence=answer.record
        )
        return Observation(
            findings=(finding,),
            coverage=Coverage(looked_at=(opened.subject.name, answer.record)),
            facts=(("approval", canonical_json(answer.document()).decode()),),
        )


def checked_step(step: str) -> str:
    """`step`, if it is one that can be approved.

    Raises:
        UsageError: It is none.
    """
    if step not in STEPS:
        raise UsageError(f"nobody can approve a step {step!r}", next_step=f"use one of {', '.join(STEPS)}")
    return step


def approvers_of(data: Mapping[str, Json], step: str) -> tuple[str, ...]:
    """Who may approve `step`, by the data of a policy bundle; policy asks again, so this opens nothing.

    Args:
        data: The bundle's data document.
        step: One of `STEPS`.

    Raises:
        PolicyError: The list is not there or holds something else than names.
    """
    interlock = data.get("interlock")
    approvers = interlock.get("approvers") if isinstance(interlock, Mapping) else None
    names = approvers.get(step) if isinstance(approvers, Mapping) else None
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, Sequence) else []
    if not isinstance(names, list) or len(texts) != len(names):
        raise PolicyError(
            "the policy has no list of approvers",
            where=f"data.interlock.approvers.{step}",
            next_step='write a list of user names such as ["alice"] there',
        )
    return tuple(texts)
