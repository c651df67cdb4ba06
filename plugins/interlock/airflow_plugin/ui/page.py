"""The page of the tab "Security gates": what it says first, and the template. Jinja escapes all that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

    from interlock.airflow_plugin.ui.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The first thing that a reader sees.

    Args:
        tone: ``good``, ``bad``, ``warning`` or ``quiet``.
        said: One sentence.
        next_steps: What to do, in order.
    """

    tone: str
    said: str
    next_steps: tuple[str, ...] = ()


def render(view: View) -> str:
    """The page as HTML; everything in `view` is untrusted text."""
    return _template().render(view=view, headline=headline_of(view))


def headline_of(view: View) -> Headline:
    """What is the matter, in one sentence, and what to do about it."""
    if view.problem:
        return Headline(
            tone="bad",
            said="Nothing of this DAG starts: Interlock cannot tell what must be gated. It is not the DAG's fault.",
            next_steps=(
                f"Tell whoever runs Interlock: {view.problem}",
                "Once it is mended, run `interlock airflow recheck` on the scheduler's machine: what waits goes on.",
            ),
        )
    if view.ungated:
        return _ungated(view)
    if view.waiting:
        return Headline(
            tone="warning",
            said="This version of the DAG is gated, but tasks of an earlier one still wait in the quarantine.",
            next_steps=(
                "Clear the waiting tasks (with the newest version of the DAG, where Airflow asks), and they go on;",
                "or run `interlock airflow recheck` on the scheduler's machine, for all DAGs at once.",
            ),
        )
    if not view.steps:
        what = f"Task {view.task_id} is" if view.task_id else "No step of this DAG is"
        return Headline(
            tone="quiet", said=f"{what} {'not ' if view.task_id else ''}protected: no gate is required here."
        )
    return Headline(
        tone="good", said=f"{_count(len(view.steps), 'protected step')} held by every gate that is required."
    )


def _ungated(view: View) -> Headline:
    number = len(view.ungated)
    what = f"{number} of {_count(len(view.steps), 'protected step', verb=False)} {'is' if number == 1 else 'are'}"
    if view.mode.lets_pass:
        return Headline(
            tone="warning",
            said=f"{what} not gated. Mode {view.mode.value} lets this DAG run all the same; the guard inside may not.",
            next_steps=("Write what stands under “fix” below into the DAG's file.",),
        )
    return Headline(
        tone="bad", said=f"{what} not gated, so Airflow does not start {_it(number)}.", next_steps=tuple(_way_out())
    )


def _way_out() -> Iterator[str]:
    yield "Put what stands under “fix” below into the DAG's file. Retrying and clearing alone get nothing out."
    yield "Once Airflow has read the file, waiting runs go on; where the DAG's bundle has versions, clear their tasks."
    yield "If a step is no training and no deployment, the owner of the policy can change the rule that it names."


def _count(number: int, noun: str, *, verb: bool = True) -> str:
    plural = "" if number == 1 else "s"
    return f"{number} {noun}{plural}{(' is' if number == 1 else ' are') if verb else ''}"


def _it(number: int) -> str:
    return "it" if number == 1 else "them"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("interlock.airflow_plugin.ui") / "gates.html.jinja").read_text("utf-8"))
