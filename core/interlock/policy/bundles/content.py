"""What the files of a bundle mean: the manifest, the rules with their packages, and one data document.

Stricter than OPA where OPA would read something that is not read here: two engines must not decide by two policies.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.bundles.files import MANIFEST, BundleFile

Path = tuple[str, ...]

FIX_DATA = "see https://www.openpolicyagent.org/docs/management-bundles for the layout of a bundle"

_NAME = r"[A-Za-z_]\w*"
_PACKAGE = re.compile(
    rf"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*package[ \t]+({_NAME}(?:\.{_NAME})*)[ \t]*\r?(?:[\n#]|\Z)", re.A
)
"""The first statement, in its plain spelling: what else OPA takes for a package (``a["b"]``, a line break) is refused,
because whose package a rule is in decides whether a layer may have it."""

_MANIFEST_KEYS = frozenset({"metadata", "rego_version", "revision", "roots"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Rego file.

    Args:
        path: Relative to the bundle's root, with ``/``.
        source: Its text.
    """

    path: str
    source: str

    @property
    def package(self) -> str:
        """Dotted, without ``data.`` in front; empty where it is not plainly written."""
        found = _PACKAGE.match(self.source)
        return found.group(1) if found is not None else ""


def read_manifest(parts: Iterable[BundleFile], where: str) -> dict[str, Json]:
    """The manifest; empty where there is none.

    Raises:
        PolicyError: It is no object of the known keys, or speaks of Rego v0.
    """
    place = f"{where}/{MANIFEST}"
    manifest = next((read_json(part, where) for part in parts if part.path == MANIFEST), {})
    if not isinstance(manifest, dict):
        raise PolicyError("the manifest is no JSON object", where=place, next_step=FIX_DATA)
    unknown = sorted(set(manifest) - _MANIFEST_KEYS)
    if unknown:  # OPA reads `Roots` as `roots`, and `file_rego_versions` changes what a rule means
        known = ", ".join(sorted(_MANIFEST_KEYS))
        raise PolicyError(
            f"the manifest says {unknown[0]}, which is not read here", where=place, next_step=f"known are {known}"
        )
    version = manifest.get("rego_version", 1)
    if version != 1 or isinstance(version, bool):
        raise PolicyError("the bundle is not in Rego v1", where=place, next_step="run `opa fmt --v0-v1` on its rules")
    if not isinstance(manifest.get("revision", ""), str) or not isinstance(manifest.get("metadata", {}), dict):
        raise PolicyError("revision is a text and metadata an object", where=place, next_step=FIX_DATA)
    return manifest


def roots_of(manifest: Mapping[str, Json], where: str) -> tuple[Path, ...]:
    """The manifest's roots as paths; without any, all of ``data``.

    Raises:
        PolicyError: They are no list of texts.
    """
    roots = manifest.get("roots", [""])
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise PolicyError("roots is no list of texts", where=f"{where}/{MANIFEST}", next_step=FIX_DATA)
    return tuple(tuple(part for part in root.strip("/").split("/") if part) for root in cast("list[str]", roots))


def read_modules(parts: Iterable[BundleFile], roots: tuple[Path, ...], where: str) -> list[Module]:
    """The Rego files, tests too.

    Raises:
        PolicyError: One is not UTF-8, has no plain package, or lies outside the roots.
    """
    modules = [Module(path=part.path, source=_text(part, where)) for part in parts if part.path.endswith(".rego")]
    for module in modules:
        if not module.package:
            raise PolicyError(
                "a Rego file without a package",
                where=f"{where}/{module.path}",
                next_step="let its first statement be a line such as `package acme.region`",
            )
        package = tuple(module.package.split("."))
        if not any(package[: len(root)] == root for root in roots):
            raise PolicyError(
                f"package {module.package} is outside the manifest's roots",
                where=f"{where}/{module.path}",
                next_step=f"add it to the roots in {MANIFEST}",
            )
    return modules


def read_data(parts: Iterable[BundleFile], roots: tuple[Path, ...], where: str) -> dict[str, Json]:
    """One document, merged as OPA does: the content of ``a/b/data.json`` lies at ``data.a.b``.

    Raises:
        PolicyError: Broken JSON, two files that speak of one path, or data outside the roots.
    """
    data: dict[str, Json] = {}
    for part in parts:
        if PurePosixPath(part.path).name != "data.json":
            continue
        value = read_json(part, where)
        for folder in reversed(PurePosixPath(part.path).parent.parts):
            value = {folder: value}
        if not isinstance(value, Mapping):
            raise PolicyError("data at the root is no object", where=f"{where}/{part.path}", next_step=FIX_DATA)
        merge_apart(data, value, where=f"{where}/{part.path}")
    _check_data(data, (), roots, where)
    return data


def merge_apart(into: dict[str, Json], more: Mapping[str, Json], *, where: str, at: Path = ()) -> None:
    """Merge two documents that may share objects, but no value.

    Raises:
        PolicyError: Both have a value at one path.
    """
    for key, value in more.items():
        old = into.get(key)
        if key not in into:
            into[key] = value
        elif isinstance(old, dict) and isinstance(value, Mapping):
            merge_apart(old, value, where=where, at=(*at, key))
        else:
            path = ".".join(("data", *at, key))
            raise PolicyError(f"two files of the bundle say something of {path}", where=where, next_step=FIX_DATA)


def lay_over(into: dict[str, Json], more: Mapping[str, Json], *, where: str, at: Path = ("data",)) -> None:
    """Merge a document in which `more` wins: objects are merged at any depth, scalars and lists are replaced.

    Raises:
        PolicyError: An object and something else meet, which would take away what nobody named.
    """
    for key, value in more.items():
        old, path = into.get(key), ".".join((*at, key))
        if isinstance(old, dict) and isinstance(value, Mapping):
            lay_over(old, value, where=where, at=(*at, key))
        elif key in into and isinstance(old, Mapping) != isinstance(value, Mapping):
            what = f"something else than an object at {path}" if isinstance(old, Mapping) else f"an object at {path}"
            raise PolicyError(
                f"a bundle laid over another has {what}",
                where=where,
                next_step="name the single values that it is to set",
            )
        else:
            into[key] = copy.deepcopy(value)


def read_json(part: BundleFile, where: str) -> Json:
    """One JSON file.

    Raises:
        PolicyError: It is no JSON in UTF-8, or has a number that cannot be held.
    """
    try:
        return cast("Json", json.loads(_text(part, where), parse_constant=_refuse, parse_float=_finite))
    except (ValueError, RecursionError) as error:
        raise PolicyError(
            f"broken JSON: {error}", where=f"{where}/{part.path}", next_step="look at it with `jq . FILE`"
        ) from error


def _check_data(value: Json, at: Path, roots: tuple[Path, ...], where: str) -> None:
    if any(at[: len(root)] == root for root in roots):
        return
    if isinstance(value, Mapping) and (not at or any(root[: len(at)] == at for root in roots)):
        for key, inner in value.items():
            _check_data(inner, (*at, key), roots, where)
        return
    path = ".".join(("data", *at))
    raise PolicyError(
        f"{path} is outside the manifest's roots", where=where, next_step=f"add it to the roots in {MANIFEST}"
    )


def _text(part: BundleFile, where: str) -> str:
    try:
        return part.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"not UTF-8: {error}", where=f"{where}/{part.path}", next_step="save it as UTF-8") from error


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number
