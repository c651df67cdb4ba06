"""What a DAG file changed of Interlock and of Airflow's cluster policies while it was imported.

It finds who unregisters a policy or puts a function in place of one of ours. Whoever means it can hide it, because all
of this runs in the author's process; what it cannot hide is judged again in another one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pluggy import PluginManager

_OURS = "interlock."
_ALSO = ("airflow.settings", "airflow.policies", "airflow.dag_processing.dagbag", "airflow.models.dagbag")


class Watched:
    """A picture of how things were before a file was imported."""

    def __init__(self) -> None:
        self._before = dict(_things())

    def changes(self) -> list[str]:
        """What is not what it was, by name."""
        now = dict(_things())
        gone = {name for name, thing in self._before.items() if now.get(name) is not thing}
        # A method that a class inherits is replaced by giving the class one of its own.
        added = {name for name in now.keys() - self._before.keys() if name.rpartition(".")[0] in self._before}
        return sorted(gone | added)


def _things() -> Iterator[tuple[str, object]]:
    for module_name, module in list(sys.modules.items()):
        if not (module_name.startswith(_OURS) or module_name in _ALSO) or module is None:
            continue
        for name, thing in list(vars(module).items()):
            if isinstance(thing, FunctionType):
                yield f"{module_name}.{name}", thing
                yield f"{module_name}.{name} (its code)", thing.__code__
            elif isinstance(thing, type) and thing.__module__ == module_name:
                yield f"{module_name}.{name}", thing
                for attribute, value in list(vars(thing).items()):
                    if isinstance(value, FunctionType):
                        yield f"{module_name}.{name}.{attribute}", value
    for name, plugin in policy_manager().list_name_plugin():
        yield f"cluster policy {name}", plugin


def policy_manager() -> PluginManager:
    """The manager that Airflow's cluster policies are registered with."""
    from airflow import settings

    before_3_2: PluginManager | None = getattr(settings, "POLICY_PLUGIN_MANAGER", None)
    return before_3_2 or settings.get_policy_plugin_manager()
