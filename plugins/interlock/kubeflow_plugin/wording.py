"""How a violation reads in Kubeflow, with the shortest fix as the code of a KFP pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from interlock.kubeflow_plugin.gate_tampering import CACHED, IMAGE
from interlock.pipeline import Graph, Obstacle, Step, Violation, Why

FACTORIES = {
    "data-validation": ("validate_data", "subject={subject}, suite=SUITE"),
    "data-poisoning": ("scan_poisoning", 'subject={subject}, label="label"'),
    "artifact-scan": ("scan_model", "subject={subject}"),
    "training": ("secure_train", 'data=..., command=["python", "train.py"], requires=[...]'),
}
"""Gate kind to the factory that makes its task, and its arguments in a suggestion."""
_WORDS = re.compile(r"\W+")
_REFERENCE = re.compile(r'(?P<task>[^"\s]+)\.(?P<rest>(?:outputs|inputs)\["[^"\]]+"\])')


def fixes(graph: Graph, violation: Violation) -> Iterator[str]:
    """The shortest fix, one line of code for each thing to change."""
    steps = {step.id: step for step in graph.steps}
    step = steps[violation.step_id]
    if violation.path:
        for obstacle in violation.obstacles:
            yield _removal(obstacle, violation, step)
    elif violation.elsewhere:
        yield f"gated({variable(violation.step_id)}, requires=[{variable(violation.elsewhere)}])"
    elif violation.missing == "training":
        yield f"{variable(violation.step_id)}: let secure_train(...) of interlock.kubeflow make {_subject(step)}"
    else:
        yield f"gated({variable(violation.step_id)}, requires=[{_call(violation.missing, step)}])"


def variable(step_id: str) -> str:
    """What a task is called in the pipeline's code, most likely: ``train`` of ``exit-handler-1/train``."""
    return _WORDS.sub("_", step_id.rpartition("/")[2].partition(" ")[0])


def guard_fix(step: Step) -> str:
    """How a protected step gets its guard."""
    calls = ", ".join(_call(kind, step) for kind in step.requires if kind in FACTORIES)
    return f"gated({variable(step.id)}, requires=[{calls or '...'}])"


def _call(kind: str, step: Step, subjects: Sequence[str] = ()) -> str:
    factory, arguments = FACTORIES.get(kind, ("verify", f'subject={{subject}}, requires=["{kind}"]'))
    subject = _code(subjects[0]) if subjects else _subject(step)
    return f"{factory}({arguments.format(subject=subject)})"


def _removal(obstacle: Obstacle, violation: Violation, step: Step) -> str:
    task = variable(obstacle.step_id)
    if obstacle.why is Why.RUNS_ANYWAY:
        if obstacle.step_id.endswith(" (end)"):
            return (
                f"{task}: put {variable(violation.path[0])} outside, or {variable(step.id)} inside: {obstacle.detail}"
            )
        return (
            f"{task}: leave out .ignore_upstream_failure(), and put no protected step into an ExitHandler's exit task"
        )
    if obstacle.why is Why.OVERRIDDEN:
        return f"{task}: {'; '.join(map(_restored, obstacle.detail.split(', ')))}"
    if obstacle.why is Why.OTHER_SUBJECT:
        return _other_subject(obstacle, violation, step)
    if obstacle.why is Why.UNSAID:
        return f"{task}: give it what it uses as an Input[Dataset] or Input[Model], not as a path or URI in a parameter"
    factory = FACTORIES.get(violation.missing, ("the component", ""))[0]
    return f"{task}: use {factory} of interlock.kubeflow itself, from the installed version"


def _other_subject(obstacle: Obstacle, violation: Violation, step: Step) -> str:
    if obstacle.detail in step.inputs:  # the step uses several things, and one of them is looked at
        others = [name for name in step.inputs if name != obstacle.detail]
        return f"{variable(step.id)}: a {_call(violation.missing, step, others)} as well"
    return f"{variable(obstacle.step_id)}: write subject={_subject(step)} in place of {_code(obstacle.detail)}"


def _restored(override: str) -> str:
    if override == CACHED:
        return ".set_caching_options(False)"
    if override.startswith(IMAGE):
        return 'image="registry/name@sha256:..." with the image of your deployment'
    if override.startswith("options from"):
        return "write its options into the pipeline's text, not into a parameter of the run"
    return f"leave out {override}"


def _subject(step: Step) -> str:
    return _code(step.inputs[0]) if step.inputs else "..."


def _code(name: str) -> str:
    """The name of an artifact as an expression of the pipeline's code, where it is one."""
    found = _REFERENCE.fullmatch(name)
    if found is None:
        return repr(name)
    rest = found["rest"]
    return rest.partition('"')[2][:-2] if rest.startswith("inputs") else f"{variable(found['task'])}.{rest}"
