"""Interlock's own components, as they are shipped: what each is, and whether a step of a pipeline is one of them.

A step is genuine when it runs exactly the shipped command with exactly the shipped inputs and outputs; its name says
nothing. What only carries the name, or runs something else under it, is told to be a copy. The image is looked at
apart: it must be named by digest and be one that policy takes for gates, because the command is the same in any image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from interlock.kubeflow_plugin.documents import read_documents
from interlock.kubeflow_plugin.ir import Component, Executor, Port
from interlock.kubeflow_plugin.ir_reading import read_ir


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnComponent:
    """What one of the shipped components is.

    Args:
        gate: The gate kind whose receipts it makes, else empty.
        subject: The input that it looks at; for ``training`` the output that it makes.
        protects: ``training``, ``deployment`` or empty.
        inputs: The inputs that it uses as a protected step.
        outputs: The outputs that it makes as one.
    """

    gate: str = ""
    subject: str = ""
    protects: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


VERIFY = "verify"
"""It looks for receipts of the kinds that its option `requires` names."""
RECEIPT = "receipt"
"""The output with the evidence, of every component that makes some."""
OPTIONS = "options"
"""The parameter that says how strictly."""

OWN = {
    "validate-data": OwnComponent(gate="data-validation", subject="subject"),
    "scan-poisoning": OwnComponent(gate="data-poisoning", subject="subject"),
    "scan-model": OwnComponent(gate="artifact-scan", subject="subject"),
    "secure-train": OwnComponent(
        gate="training", subject="model", protects="training", inputs=("data",), outputs=("model",)
    ),
    "deploy-gate": OwnComponent(protects="deployment", inputs=("model",)),
    VERIFY: OwnComponent(subject="subject"),
    "check-policy": OwnComponent(subject="subject"),
    "snapshot": OwnComponent(),
}
"""By the component's name."""

_LEFT_OUT = {"scan-poisoning": frozenset({"flagged", "cleaned", "profile"})}
"""Outputs that a component has only where they are asked for."""
_NUMBERED = re.compile(r"-\d+$")
_FUNCTION = "--function_to_execute"


@dataclass(frozen=True, slots=True)
class Shipped:
    """One compiled component as the package has it."""

    component: Component
    executor: Executor

    def is_run_by(self, executor: Executor) -> bool:
        """Whether an executor does the same, whatever its image."""
        return (executor.command, executor.args) == (self.executor.command, self.executor.args)

    def fits(self, component: Component, left_out: frozenset[str]) -> bool:
        """Whether a component has the same inputs and outputs, those aside that are optional."""
        return (
            _fits(component.inputs, self.component.inputs)
            and _fits(component.parameters, self.component.parameters)
            and _fits(component.results, self.component.results)
            and _fits(component.outputs, self.component.outputs, left_out)
        )


@cache
def shipped() -> Mapping[str, Shipped]:
    """The compiled components of this installation, by name; found without importing kfp.

    Raises:
        UnreadableError: One of them cannot be read, which is a defect of the installation.
    """
    spec = find_spec("interlock.kubeflow")
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(places or ()), "")) / "components"
    found = {}
    for name in OWN:
        file = folder / f"{name.replace('-', '_')}.yaml"
        if file.is_file():
            found[name] = _read(file)
    return found


def _read(file: Path) -> Shipped:
    pipeline = read_ir(read_documents(file.read_bytes()))
    component = next(iter(pipeline.components.values()))
    return Shipped(component, pipeline.executors[component.executor])


def named_like(component_name: str, executor: Executor) -> str:
    """The shipped component whose name a step carries: as its component's, or as the function that it runs."""
    plain = _NUMBERED.sub("", component_name.removeprefix("comp-")).replace("_", "-")
    if plain in OWN:
        return plain
    words = executor.args
    functions = [after for word, after in pairwise(words) if word == _FUNCTION]
    return next((name for name in (one.replace("_", "-") for one in functions) if name in OWN), "")


def own_name(component_name: str, component: Component, executor: Executor) -> tuple[str, bool]:
    """Which shipped component a step is or pretends to be (empty for none), and whether it is genuine."""
    for name, one in shipped().items():
        if one.is_run_by(executor):
            return name, one.fits(component, _LEFT_OUT.get(name, frozenset()))
    return named_like(component_name, executor), False


def _fits(ours: Mapping[str, Port], theirs: Mapping[str, Port], left_out: frozenset[str] = frozenset()) -> bool:
    if set(ours) - set(theirs):
        return False
    return all(
        _same(ours[name], port) if name in ours else port.optional or name in left_out for name, port in theirs.items()
    )


def _same(mine: Port, shipped_one: Port) -> bool:
    """The same, or required where the shipped one is optional."""
    alike = (mine.type, mine.is_list) == (shipped_one.type, shipped_one.is_list)
    return alike and mine.default in (None, shipped_one.default) and (shipped_one.optional or not mine.optional)
