"""A policy bundle, read in plain Python: OPA's folder layout, its digest, and the data that DAG parsing needs.

No engine is started here. A DAG file that asks `required_gates` pays for reading some small files, nothing else.
Evaluating the bundle's rules is `interlock.policy.embedded`'s work.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import cast

from interlock.gate.documents import digest_of
from interlock.gate.errors import PolicyError, SettingsError
from interlock.gate.values import Json
from interlock.policy.bundle_files import BundleFile, files_of_archive, files_of_folder

STEPS = ("training", "deployment")
"""The protected steps for which a profile names required gates."""

_PACKAGE = re.compile(r"^[ \t]*package[ \t]+([A-Za-z_][\w.]*)", re.MULTILINE)
_FIX_DATA = "see https://www.openpolicyagent.org/docs/management-bundles for the layout of a bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Rego file.

    Args:
        path: Relative to the bundle's root, with ``/``.
        source: Its text.
    """

    path: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """Rules and data of one policy.

    Args:
        digest: sha256 over path and content of every file that takes part in decisions; tests do not.
        revision: What the manifest says; free text.
        modules: The rules, sorted by path.
        data: The data document as OPA would merge it: a folder's path is the data's path.
        tests: The ``_test.rego`` files, sorted by path; absent from an installed wheel.
    """

    digest: str
    revision: str
    modules: tuple[Module, ...]
    data: Mapping[str, Json]
    tests: tuple[Module, ...] = ()

    @classmethod
    def load(cls, location: str | Path = "") -> Bundle:
        """Read a bundle.

        Args:
            location: A folder, a ``.tar.gz``, one ``.rego`` file, or empty for the bundle that Interlock ships.

        Raises:
            SettingsError: Nothing is there, or it is none of these.
            PolicyError: It is no bundle: a link, a path that leaves the root, too large, broken JSON, data that
                conflicts or lies outside the manifest's roots.
        """
        if not location:
            return _packaged()
        path = Path(location).expanduser()
        if path.is_dir():
            return _bundle(files_of_folder(path), where=str(path))
        if not path.is_file():
            raise SettingsError(
                "no policy bundle is there", where=str(location), next_step="name a folder or a .tar.gz, or nothing"
            )
        if path.suffix == ".rego":
            return _bundle(files_of_folder(path.parent, only=path.name), where=str(path))
        return _bundle(files_of_archive(path), where=str(path))

    def with_tests(self) -> Bundle:
        """The same bundle with its tests among the modules, for running them."""
        return replace(self, modules=(*self.modules, *self.tests))

    def joined(self, other: Bundle) -> Bundle:
        """Both bundles in one; its digest is that of the two digests.

        Raises:
            PolicyError: Both have a module of one path, or a different value at one data path.
        """
        twice = {module.path for module in self.modules} & {module.path for module in other.modules}
        if twice:
            raise PolicyError("two bundles have a module of one path", where=sorted(twice)[0])
        data = cast("dict[str, Json]", json.loads(json.dumps(self.data)))
        _merge(data, other.data, where="data")
        return Bundle(
            digest=digest_of([self.digest, other.digest]),
            revision=" ".join(part for part in (self.revision, other.revision) if part),
            modules=tuple(sorted((*self.modules, *other.modules), key=lambda module: module.path)),
            data=data,
            tests=tuple(sorted((*self.tests, *other.tests), key=lambda module: module.path)),
        )

    def profile(self, name: str) -> Mapping[str, Json]:
        """The parameters of one profile.

        Raises:
            SettingsError: The bundle has no such profile.
            PolicyError: The bundle has no profiles at all, or this one is no object.
        """
        profiles = _object_at(self.data, "interlock", "profiles")
        if name not in profiles:
            known = ", ".join(sorted(profiles))
            raise SettingsError(f"profile {name!r} is unknown", where="profile", next_step=f"use one of {known}")
        return _object_at(profiles, name)


def required_gates(bundle: Bundle, profile: str, step: str) -> tuple[str, ...]:
    """The gates whose receipts a step needs before it may start.

    Pure Python: cheap enough for DAG parsing. The guard asks policy again, so a wrong answer here opens nothing.

    Args:
        bundle: The policy.
        profile: Name of a profile, from the settings.
        step: ``training`` or ``deployment``.

    Raises:
        SettingsError: The profile is unknown.
        PolicyError: The profile does not name them as a list of texts.
    """
    named = _object_at(bundle.profile(profile), "required").get(step)
    if not isinstance(named, list) or not named or not all(isinstance(gate, str) for gate in named):
        raise PolicyError(
            f"profile {profile} names no gates for {step}",
            where=f"data.interlock.profiles.{profile}.required.{step}",
            next_step='write a list such as ["data-validation", "data-poisoning"]',
        )
    return tuple(cast("list[str]", named))


def packaged_folder() -> Path:
    """The installed `interlock.policies`; wheels are installed unpacked, so it is a folder."""
    return Path(import_module("interlock.policies").__path__[0])


@cache
def _packaged() -> Bundle:
    return _bundle(files_of_folder(packaged_folder()), where="interlock.policies")


def _bundle(found: Iterable[BundleFile], *, where: str) -> Bundle:
    parts = sorted(found, key=lambda part: part.path)
    manifest = _manifest(parts, where)
    modules = [Module(path=p.path, source=_text(p, where)) for p in parts if p.path.endswith(".rego")]
    rules = tuple(module for module in modules if not module.path.endswith("_test.rego"))
    if not rules:
        raise PolicyError("the bundle has no rules", where=where, next_step="put .rego files into it")
    data = _data(parts, where)
    roots = _roots(manifest, where)
    for module in modules:
        _check_package(module, roots, where)
    _check_data(data, (), roots, where)
    judged = [part for part in parts if not part.path.endswith("_test.rego")]
    return Bundle(
        digest=digest_of({part.path: hashlib.sha256(part.content).hexdigest() for part in judged}),
        revision=str(manifest.get("revision", "")),
        modules=rules,
        data=data,
        tests=tuple(module for module in modules if module.path.endswith("_test.rego")),
    )


def _manifest(parts: Iterable[BundleFile], where: str) -> Mapping[str, Json]:
    manifest = next((_json(part, where) for part in parts if part.path == ".manifest"), {})
    if not isinstance(manifest, Mapping):
        raise PolicyError("the manifest is no JSON object", where=f"{where}/.manifest", next_step=_FIX_DATA)
    if manifest.get("rego_version", 1) != 1:
        raise PolicyError(
            "the bundle is not in Rego v1", where=f"{where}/.manifest", next_step="run `opa fmt --v0-v1` on its rules"
        )
    return manifest


def _roots(manifest: Mapping[str, Json], where: str) -> tuple[tuple[str, ...], ...]:
    roots = manifest.get("roots", [""])
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise PolicyError("roots is no list of texts", where=f"{where}/.manifest", next_step=_FIX_DATA)
    return tuple(tuple(part for part in root.strip("/").split("/") if part) for root in cast("list[str]", roots))


def _data(parts: Iterable[BundleFile], where: str) -> dict[str, Json]:
    """Merge as OPA does: the content of ``a/b/data.json`` lies at ``data.a.b``."""
    data: dict[str, Json] = {}
    for part in parts:
        if PurePosixPath(part.path).name != "data.json":
            continue
        value = _json(part, where)
        for folder in reversed(PurePosixPath(part.path).parent.parts):
            value = {folder: value}
        if not isinstance(value, Mapping):
            raise PolicyError("data at the root is no object", where=f"{where}/{part.path}", next_step=_FIX_DATA)
        _merge(data, value, where=f"{where}/{part.path}")
    return data


def _merge(into: dict[str, Json], more: Mapping[str, Json], *, where: str, at: tuple[str, ...] = ()) -> None:
    for key, value in more.items():
        old = into.get(key)
        if key not in into:
            into[key] = value
        elif isinstance(old, dict) and isinstance(value, Mapping):
            _merge(old, value, where=where, at=(*at, key))
        else:
            path = ".".join(("data", *at, key))
            raise PolicyError(f"two files of the bundle say something of {path}", where=where, next_step=_FIX_DATA)


def _check_package(module: Module, roots: tuple[tuple[str, ...], ...], where: str) -> None:
    found = _PACKAGE.search(module.source)
    if found is None:
        raise PolicyError("a Rego file without a package", where=f"{where}/{module.path}")
    package = tuple(found.group(1).split("."))
    if not any(package[: len(root)] == root for root in roots):
        raise PolicyError(f"package {found.group(1)} is outside the manifest's roots", where=f"{where}/{module.path}")


def _check_data(value: Json, at: tuple[str, ...], roots: tuple[tuple[str, ...], ...], where: str) -> None:
    if any(at[: len(root)] == root for root in roots):
        return
    if isinstance(value, Mapping) and (not at or any(root[: len(at)] == at for root in roots)):
        for key, inner in value.items():
            _check_data(inner, (*at, key), roots, where)
        return
    raise PolicyError(f"data.{'.'.join(at)} is outside the manifest's roots", where=where)


def _object_at(value: Mapping[str, Json], *path: str) -> Mapping[str, Json]:
    for step in path:
        inner = value.get(step)
        if not isinstance(inner, Mapping):
            raise PolicyError("the bundle's data has no object there", where=".".join(path), next_step=_FIX_DATA)
        value = inner
    return value


def _text(part: BundleFile, where: str) -> str:
    try:
        return part.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"not UTF-8: {error}", where=f"{where}/{part.path}") from error


def _json(part: BundleFile, where: str) -> Json:
    try:
        return cast("Json", json.loads(_text(part, where), parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"broken JSON: {error}", where=f"{where}/{part.path}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
