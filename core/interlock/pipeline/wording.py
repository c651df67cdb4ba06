"""How the refusal of a pipeline reads, whichever orchestrator it is for; the fixes are the adapter's code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from interlock.pipeline.explanation import Violation, describe


def refusal(
    pipeline: str,
    violations: Sequence[Violation],
    fixes: Callable[[Violation], Iterable[str]],
    *,
    profile: str,
    more: Sequence[tuple[str, str, Sequence[str]]] = (),
) -> str:
    """The whole message of one refused pipeline: all that is wrong, each with its fix.

    Args:
        pipeline: What it is and its id, such as ``DAG 'retrain'``.
        violations: Of the chain rule.
        fixes: The shortest fix of a violation, one line of code for each thing to change.
        profile: The policy profile in force.
        more: What else is wrong with its protected steps: step id, sentence and lines of code.
    """
    count = len({violation.step_id for violation in violations} | {step for step, _, _ in more})
    told = [(describe(violation), fixes(violation)) for violation in violations]
    lines = [
        f"Interlock refuses {pipeline}: {count} protected step{'s are' if count > 1 else ' is'} not gated"
        f" (policy profile {profile!r})."
    ]
    for number, (sentence, advice) in enumerate([*told, *((said, fix) for _, said, fix in more)], start=1):
        lines.append(f"{number}. {sentence}.")
        lines += [f"   fix: {line}" for line in dict.fromkeys(advice)]
    return "\n".join(lines)
