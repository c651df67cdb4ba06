"""Whether a step of the user's own asks for evidence before its own command runs, as its command says.

The edges of a pipeline hold nothing by themselves: whoever clears, retries or caches a task runs it without them. A
guarded step begins with Interlock's guard (`interlock.kubeflow.guard`), which looks at the bytes and the receipts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.gate.errors import UsageError
from interlock.kubeflow_plugin.flattening import Leaf
from interlock.kubeflow_plugin.ir import Executor

if TYPE_CHECKING:
    from interlock.kubeflow.guard import Guarded

RECEIPT_INPUT = "interlock_receipt_"
RECEIPT_TYPE = "system.InterlockReceipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """What the command of a step says of a guard.

    Args:
        step: ``training`` or ``deployment``; empty without a guard.
        requires: Kinds of gate, by the input with the receipt of each.
        problem: Why nothing asks for evidence as the step starts; empty when the guard does.
    """

    step: str = ""
    requires: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def guarding_of(leaf: Leaf, executor: Executor) -> Guarding:
    """Read the command of a step; all of it is untrusted."""
    from interlock.kubeflow.guard import COMMAND, Guarded

    command = executor.command
    if command[: len(COMMAND)] != COMMAND:
        return Guarding(problem="its command does not begin with Interlock's guard")
    try:
        guards = _guards(Guarded.parse(command[len(COMMAND) :]))
    except UsageError as error:
        return Guarding(problem=error.what)
    requires = tuple(pair for one in guards for pair in zip(one.receipts, one.requires, strict=True))
    problem = next(filter(None, (_mismatch(leaf, one) for one in guards)), "") or _unseen(leaf, executor, guards)
    return Guarding(step=guards[0].step, requires=requires, problem=problem)


def _guards(first: Guarded) -> list[Guarded]:
    """A guard and those behind it, each of another subject of the same step."""
    guards = [first]
    while (behind := guards[-1].behind) is not None:
        guards.append(behind)
    return guards


def receipts_in(leaf: Leaf) -> list[str]:
    """Inputs of a step that take receipts."""
    inputs = leaf.component.inputs.items()
    return [name for name, port in inputs if name.startswith(RECEIPT_INPUT) or port.type == RECEIPT_TYPE]


def _mismatch(leaf: Leaf, asked: Guarded) -> str:
    if asked.executor_input != "{{$}}":
        return "the guard does not get KFP's executor input"
    if asked.subject not in leaf.artifacts:
        return f"the guard looks at {asked.subject!r}, which is no artifact that the step is given"
    missing = [name for name in asked.receipts if name not in leaf.artifacts]
    if missing:
        return f"the guard asks for the receipt {missing[0]!r}, which the step is not given"
    return ""


def _unseen(leaf: Leaf, executor: Executor, guards: list[Guarded]) -> str:
    unread = sorted(set(receipts_in(leaf)).difference(*(one.receipts for one in guards)))
    if unread:
        return f"the guard does not look at {unread[0]!r}"
    return "the container has a command that runs before it" if executor.lifecycle else ""
