"""What the rules of a policy support: controls by framework and version, read from METADATA.

A rule supports a control; nobody complies by running it. The catalogue ``policies/controls.json`` knows which ids
exist, so a typo is found by `interlock policy check`, and what no rule speaks of can be listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from interlock.policy.authoring.syntax import Parsed
from interlock.policy.bundles.bundle import packaged_folder


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Framework:
    """One version of one framework."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Supported:
    """One control and the rules that support it.

    Args:
        framework: Of the control.
        control: Its id, as the framework writes it.
        title: From the catalogue; empty for an id that it does not know.
        rules: Ids of rules, sorted; empty when no rule speaks of the control.
    """

    framework: Framework
    control: str
    title: str
    rules: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether the catalogue has this id."""
        return bool(self.title)


@cache
def catalogue() -> Mapping[Framework, Mapping[str, str]]:
    """Title by id for each framework that METADATA may name."""
    document: Any = json.loads((packaged_folder() / "controls.json").read_text(encoding="utf-8"))
    return {Framework(name=one["framework"], version=one["version"]): one["controls"] for one in document["frameworks"]}


def controls_in(annotation_custom: Mapping[str, Any]) -> Iterator[tuple[Framework, str]]:
    """The controls that a rule's METADATA names; malformed ones are left to the lint."""
    named = annotation_custom.get("controls")
    for one in named if isinstance(named, list) else ():
        if isinstance(one, Mapping) and {"framework", "version", "id"} <= one.keys():
            yield Framework(name=str(one["framework"]), version=str(one["version"])), str(one["id"])


def supported_controls(files: Sequence[Parsed], *, framework: str = "") -> tuple[Supported, ...]:
    """Every control that a rule names or the catalogue knows.

    Args:
        files: Parsed rules; tests are left out.
        framework: Only frameworks whose name has this text in it, in any case.
    """
    rules: dict[tuple[Framework, str], set[str]] = {}
    for known, titles in catalogue().items():
        for control in titles:
            rules[known, control] = set()
    for file in files:
        for rule in () if file.is_test else file.rules:
            custom = rule.annotation.custom if rule.annotation else {}
            for named, control in controls_in(custom):
                rules.setdefault((named, control), set()).add(str(custom.get("id", f"{file.package}.{rule.name}")))
    return tuple(
        Supported(
            framework=named,
            control=control,
            title=catalogue().get(named, {}).get(control, ""),
            rules=tuple(sorted(ids)),
        )
        for (named, control), ids in sorted(rules.items())
        if framework.casefold() in named.name.casefold()
    )
