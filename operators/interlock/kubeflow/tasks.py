"""Makes a task from a shipped component: constants checked, caching off, inputs that nobody wired left out.

How strictly a step checks is fixed when the pipeline is compiled, so whatever says so must be a constant here: whoever
starts a run gives its parameters. The component's source and command stay those of the shipped one, by which
`interlock lint` knows a genuine gate. Only optional artifacts that are not wired are dropped from it, because
kfp.local (2.16) fails on an input artifact without a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate.errors import UsageError
from interlock.kubeflow.identity import PLACEHOLDERS
from interlock.kubeflow.images import gate_image
from interlock.kubeflow.options import plain
from interlock.kubeflow.published import shipped_spec
from interlock.kubeflow.wiring import OPTIONAL_OUTPUTS

if TYPE_CHECKING:
    from kfp.dsl.pipeline_task import PipelineTask
    from kfp.dsl.structures import ComponentSpec

    from interlock.gate import Json

_PLACEHOLDER = re.compile(r"\{\{(?:\$|channel:)")


def make_task(
    name: str,
    *,
    image: str | None,
    options: Mapping[str, object],
    inputs: Mapping[str, object],
    outputs: tuple[str, ...] = (),
) -> PipelineTask:
    """One task of a pipeline, or outside of a pipeline one run under kfp.local.

    Args:
        name: Of the component, one of `interlock.kubeflow.published.NAMES`.
        image: As for `gate_image`.
        options: How the step is set; must be constants.
        inputs: What it works on: artifacts and run parameters by name; None for those that are not given.
        outputs: Optional outputs that are wanted, beside those that the component always has.

    Raises:
        UsageError: An option is no constant, or no JSON.
    """
    from kfp.dsl.pipeline_task import PipelineTask

    settled = constant(options, where=name)
    given = {key: value for key, value in inputs.items() if value is not None}
    spec = _pruned(shipped_spec(name), wired=frozenset(given), wanted=outputs)
    container: Any = spec.implementation.container
    container.image = gate_image(image)
    pipeline = _pipeline()
    task = PipelineTask(
        component_spec=spec,
        args={**given, "options": settled, **PLACEHOLDERS},
        execute_locally=pipeline is None,
    )
    return task if pipeline is None else task.set_caching_options(enable_caching=False)


def constant(options: Mapping[str, object], *, where: str) -> dict[str, Json]:
    """Options as the pod will read them.

    Raises:
        UsageError: They hold a run parameter, the output of another task or a placeholder; or they are no JSON, or
            would not arrive as they are.
    """
    for name, value in options.items():
        refuse_from_run(value, where=f"{where}, {name}")
    try:
        text = json.dumps(options, allow_nan=False, default=_listed)
    except (TypeError, ValueError) as error:
        raise UsageError(f"an option is no JSON: {error}", where=where) from error
    settled: dict[str, Json] = {name: value for name, value in json.loads(text).items() if value is not None}
    if _holds_none(list(settled.values())):
        raise UsageError("KFP carries no null inside of a value", where=where, next_step="leave it out")
    if plain(json.loads(text, parse_int=float)) != json.loads(text):
        raise UsageError(
            "a number of the options is too large to travel in a pipeline, whose numbers are doubles", where=where
        )
    return settled


def refuse_from_run(value: Any, *, where: str) -> None:
    """Refuse a value that is only known when the pipeline runs.

    Raises:
        UsageError: It holds a run parameter, the output of another task or a placeholder.
    """
    from kfp.dsl.pipeline_channel import extract_pipeline_channels_from_any

    if extract_pipeline_channels_from_any(value) or _PLACEHOLDER.search(repr(value)):
        raise UsageError(
            "how strictly a gate checks is fixed when the pipeline is compiled, and this comes from the run",
            where=where,
            next_step="write the value into the pipeline; only what is checked may be a parameter",
        )


def suite_of(suite: str | Path | Mapping[str, Any], *, where: str) -> str:
    """A suite as the pod needs it: JSON text, which keeps its nulls and its whole numbers; a file is read now.

    Raises:
        UsageError: The file is not there, or holds no JSON object; or it is no JSON, or comes from the run.
    """
    refuse_from_run(suite, where=f"{where}, suite")
    if isinstance(suite, Mapping):
        try:
            return json.dumps(suite, indent=1, allow_nan=False, default=_listed)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the suite is no JSON: {error}", where=where) from error
    try:
        content = json.loads(Path(suite).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the suite cannot be read: {error}", where=f"{where}, {suite}") from error
    if not isinstance(content, dict):
        raise UsageError("a suite is a JSON object", where=f"{where}, {suite}")
    return json.dumps(content, indent=1)


def _holds_none(value: Json) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_holds_none(one) for one in inside)


def _listed(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r}")


def _pruned(shipped: ComponentSpec, *, wired: frozenset[str], wanted: tuple[str, ...]) -> ComponentSpec:
    spec = deepcopy(shipped)
    inputs, outputs = dict(spec.inputs or {}), dict(spec.outputs or {})
    for name, one in list(inputs.items()):
        if one.optional and name in wired:
            one.optional = False  # what a step rests on is not optional once it is wired
        elif one.optional:
            del inputs[name]
    for name in OPTIONAL_OUTPUTS.get(spec.name, ()):
        if name not in wanted:
            del outputs[name]
    spec.inputs, spec.outputs = inputs, outputs
    return spec


def _pipeline() -> Any:
    from kfp.dsl.pipeline_context import Pipeline

    return Pipeline.get_default_pipeline()
