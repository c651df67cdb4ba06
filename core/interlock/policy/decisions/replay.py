"""Replaying recorded decisions under another policy: what a policy author wants to know before merging.

Each event of the decision log is first decided again under the old policy. Only where that gives what was recorded is
the new policy's answer worth comparing: otherwise something that the rules read is not in the log (masked, or of
another bundle), and the decision is *not comparable*, never "unchanged". Masked texts stand in the log as a
placeholder; the new policy is asked again with other texts in their place, and if that changes its answer, it reads
what the log does not hold, and nobody *could tell*.

Events are untrusted: a file of them is not signed, and one out of the ledger was checked against its own hashes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from interlock.gate.values import Json, Verdict
from interlock.policy.decisions.log import Judged
from interlock.policy.decisions.sweeping import PLACEHOLDER

OTHER_TEXTS = ("another value", "0")
"""What is put in the place of masked texts to see whether the answer depends on them."""


class Change(Enum):
    """What the new policy would do to one recorded decision, the loudest first."""

    NEWLY_ALLOWED = "newly allowed"
    NEWLY_REFUSED = "newly refused"
    OTHER_VERDICT = "other verdict"
    OTHER_REASONS = "other reasons"
    COULD_NOT_TELL = "could not tell"
    NOT_COMPARABLE = "not comparable"
    NONE = "no change"

    @property
    def changes_verdict(self) -> bool:
        """Whether the verdict would be another one."""
        return self in {Change.NEWLY_ALLOWED, Change.NEWLY_REFUSED, Change.OTHER_VERDICT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """A verdict and the ids of its reasons, sorted."""

    verdict: Verdict
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verdict.value} ({', '.join(self.reasons)})" if self.reasons else self.verdict.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of one recorded decision.

    Args:
        decision_id: As recorded.
        when: Its timestamp, as recorded.
        what: Gate, stage and subject, for people.
        run: Pipeline, run and task, for people.
        change: What would change.
        recorded: What was decided then; None when the event does not say.
        new: What the new policy says; None when it was not asked.
        why: Why it is not comparable, or could not be told, or why the new policy is UNDECIDED.
    """

    decision_id: str
    when: str
    what: str
    run: str
    change: Change
    recorded: Opinion | None = None
    new: Opinion | None = None
    why: str = ""

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that make the difference: reasons that only one of both gives."""
        if self.recorded is None or self.new is None:
            return ()
        return tuple(sorted(set(self.recorded.reasons) ^ set(self.new.reasons)))


class Judge(Protocol):
    """Decides a document as it stands; `interlock.policy.PolicyDecider` does."""

    @property
    def bundle_digest(self) -> str:
        """sha256 of its bundle."""
        ...

    def judge(self, document: Mapping[str, Json]) -> Judged:
        """Decide, and log nothing."""
        ...


def replay(events: Iterable[Json], *, old: Judge, new: Judge) -> Iterator[Replayed]:
    """Decide recorded events again under two policies.

    Args:
        events: In the form of OPA's decision log, Interlock's or a server's own; anything else is not comparable.
        old: The policy that is thought to have decided them.
        new: The policy that is to be tried.
    """
    for event in events:
        yield _replayed(event if isinstance(event, Mapping) else {}, old, new)


def _replayed(event: Mapping[str, Any], old: Judge, new: Judge) -> Replayed:
    document = event.get("input")
    recorded = _recorded(event)
    told = {
        "decision_id": str(event.get("decision_id", "")),
        "when": str(event.get("timestamp", "")),
        "what": _what(document),
        "run": _run(document),
    }

    def ended(change: Change, *, found: Opinion | None = None, why: str = "") -> Replayed:
        return Replayed(**told, change=change, recorded=recorded, new=found, why=why)

    obstacle = _obstacle(event)
    if obstacle or recorded is None or not isinstance(document, Mapping):
        return ended(Change.NOT_COMPARABLE, why=obstacle or _failure(event) or "it is no event of a decision")
    again = _opinion(old.judge(document))
    if again != recorded:
        return ended(Change.NOT_COMPARABLE, why=_why_not_the_same(event, again, old))
    judged = new.judge(document)
    found = _opinion(judged)
    for text in OTHER_TEXTS if event.get("masked") else ():
        other = _opinion(new.judge(_filled(document, text)))
        if other != found:
            why = f"the new policy reads a value that is masked in the log: {found}, or {other} with another value"
            return ended(Change.COULD_NOT_TELL, why=why)
    return ended(_change(recorded, found), found=found, why="; ".join(judged.decision.errors))


def _change(recorded: Opinion, found: Opinion) -> Change:
    if recorded == found:
        return Change.NONE
    if recorded.verdict is found.verdict:
        return Change.OTHER_REASONS
    if found.verdict is Verdict.ALLOW:
        return Change.NEWLY_ALLOWED
    return Change.NEWLY_REFUSED if recorded.verdict is Verdict.ALLOW else Change.OTHER_VERDICT


def _opinion(judged: Judged) -> Opinion:
    decision = judged.decision
    return Opinion(verdict=decision.verdict, reasons=tuple(sorted({reason.id for reason in decision.reasons})))


def _recorded(event: Mapping[str, Any]) -> Opinion | None:
    """What was decided, as Interlock's events say it, or as an OPA server's own imply it."""
    custom, result = event.get("custom"), event.get("result")
    if isinstance(custom, Mapping) and isinstance(custom.get("reasons"), list):
        try:
            verdict = Verdict(custom.get("verdict"))
        except ValueError:
            return None
        return Opinion(verdict=verdict, reasons=tuple(sorted({str(one) for one in custom["reasons"]})))
    if not isinstance(result, Mapping) or not isinstance(result.get("reasons"), list):
        return None
    reasons = tuple(sorted({str(one.get("id")) for one in result["reasons"] if isinstance(one, Mapping)}))
    allowed = result.get("allow") is True and not reasons
    return Opinion(verdict=Verdict.ALLOW if allowed else Verdict.DENY, reasons=reasons)


def _obstacle(event: Mapping[str, Any]) -> str:
    erased = event.get("erased")
    gone = [str(one) for one in erased] if isinstance(erased, list) else []
    gone = [one for one in gone if one == "/input" or one.startswith("/input/")]
    if gone:
        return f"values were removed from its input: {', '.join(gone[:3])}{' and more' if len(gone) > 3 else ''}"
    return "" if isinstance(event.get("input"), Mapping) else "its input is not in the log"


def _why_not_the_same(event: Mapping[str, Any], again: Opinion, old: Judge) -> str:
    why = f"the old policy says {again} to what is in the log"
    if failure := _failure(event):
        return f"{failure}; {why}"
    custom = event.get("custom")
    bundle = custom.get("bundle_digest") if isinstance(custom, Mapping) else None
    digest = bundle.get("sha256") if isinstance(bundle, Mapping) else ""
    if digest and digest != old.bundle_digest:
        return f"{why}; it was decided by another bundle ({str(digest)[:16]})"
    masked = event.get("masked")
    return f"{why}; {len(masked)} values are masked" if isinstance(masked, list) and masked else why


def _failure(event: Mapping[str, Any]) -> str:
    """Why there was no verdict then; empty for a decision that was made."""
    error = event.get("error")
    message = error.get("message") if isinstance(error, Mapping) else None
    if not isinstance(message, str) or not message:
        return ""
    erased = event.get("erased")
    answered = "result" in event or (isinstance(erased, list) and "/result" in erased)
    return f"{'its answer could not be used then' if answered else 'the engine failed then'}: {message}"


def _filled(node: Any, text: str) -> Any:
    """The document with another text wherever a masked one stood."""
    if isinstance(node, str):
        return node.replace(PLACEHOLDER, text)
    if isinstance(node, Mapping):
        return {key: _filled(value, text) for key, value in node.items()}
    return [_filled(value, text) for value in node] if isinstance(node, list) else node


def _what(document: Any) -> str:
    subject = document.get("subject") if isinstance(document, Mapping) else None
    if not isinstance(subject, Mapping):
        return ""
    return f"{document.get('gate')} ({document.get('stage')}) of {subject.get('name')}"


def _run(document: Any) -> str:
    run = document.get("run") if isinstance(document, Mapping) else None
    return (
        "/".join(str(run.get(name)) for name in ("pipeline", "run_id", "task_id")) if isinstance(run, Mapping) else ""
    )
