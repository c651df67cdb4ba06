"""A policy bundle, read in plain Python: OPA's folder layout, its digest, and the data that DAG parsing needs.

No engine is started here. A DAG file that asks `required_gates` pays for reading some small files, nothing else.
Where policy comes from and whether it is signed is for `interlock.policy.bundles.source.load_policy` to find out.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from interlock.gate.documents import digest_of
from interlock.gate.errors import PolicyError, SettingsError
from interlock.gate.values import Json
from interlock.policy.bundles.content import (
    FIX_DATA,
    Module,
    lay_over,
    read_data,
    read_manifest,
    read_modules,
    roots_of,
)
from interlock.policy.bundles.files import (
    MANIFEST,
    TEST_ENDING,
    BundleFile,
    archive_bytes,
    file_alone,
    files_of_archive,
    files_of_folder,
    taking_part,
)

if TYPE_CHECKING:
    from interlock.policy.bundles.keys import PolicyKeys

__all__ = ["STEPS", "Bundle", "Module", "packaged_folder", "required_gates", "revision_with"]

STEPS = ("training", "deployment")
"""The protected steps for which a profile names required gates."""

SHIPPED = "interlock.policies"
"""Origin of the bundle that Interlock ships."""

_NAMED_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """Rules and data of one policy.

    Args:
        digest: sha256 over what takes part in decisions: path and text of every rule, the data document and the
            manifest without its revision. Tests, and how the data is spread over files, leave it alone.
        revision: What the manifest says; free text, with ``@sha256:<digest>`` at its end in a built bundle.
        modules: The rules, sorted by path.
        data: The data document as OPA would merge it: a folder's path is the data's path.
        tests: The ``_test.rego`` files, sorted by path; absent from an installed wheel.
        manifest: The manifest without its revision.
        origin: Where it was read: a path, a URL or ``interlock.policies``; several joined by `` + ``.
        notes: What a person should know of how it was found, such as a server that did not answer.
    """

    digest: str
    revision: str
    modules: tuple[Module, ...]
    data: Mapping[str, Json]
    tests: tuple[Module, ...] = ()
    manifest: Mapping[str, Json] = field(default_factory=dict)
    origin: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, location: str | Path = "", *, keys: PolicyKeys | None = None) -> Bundle:
        """Read a bundle from this machine.

        Args:
            location: A folder, a ``.tar.gz``, one ``.rego`` file, or empty for the bundle that Interlock ships.
            keys: With them the bundle must be signed by one; the one that Interlock ships need not be.

        Raises:
            SettingsError: Nothing is there, or it is none of these.
            PolicyError: It is no bundle: a link, a path that leaves the root, too large, broken JSON, data that
                conflicts or lies outside the manifest's roots; or its signature does not hold.
        """
        if not location:
            return _packaged()
        path = Path(location).expanduser()
        if path.is_dir():
            return _read(files_of_folder(path, whole=keys is not None), keys, where=str(path))
        if not path.is_file():
            raise SettingsError(
                "no policy bundle is there", where=str(location), next_step="name a folder or a .tar.gz, or nothing"
            )
        if path.suffix == ".rego":
            return _read(file_alone(path), keys, where=str(path))
        return cls.unpack(archive_bytes(path), origin=str(path), keys=keys)

    @classmethod
    def unpack(cls, packed: bytes, *, origin: str, keys: PolicyKeys | None = None) -> Bundle:
        """Read a bundle from the bytes of its ``.tar.gz``.

        Args:
            packed: Unverified bytes.
            origin: Where they are from.
            keys: With them the bundle must be signed by one.

        Raises:
            PolicyError: As `load`.
        """
        return _read(files_of_archive(packed, where=origin), keys, where=origin)

    def with_tests(self) -> Bundle:
        """The same bundle with its tests among the modules, for running them."""
        return replace(self, modules=(*self.modules, *self.tests))

    def joined(self, other: Bundle) -> Bundle:
        """Both bundles in one, for trying rules out; `interlock.policy.bundles.layers` is for deciding.

        Data is laid over as there. Rules only need paths of their own, so that a single file can be tried.

        Raises:
            PolicyError: Both have a module of one path, or an object and something else at one data path.
        """
        twice = {module.path for module in self.modules} & {module.path for module in other.modules}
        if twice:
            path = sorted(twice)[0]
            raise PolicyError(
                "two bundles have a module of one path",
                where=f"{self.origin}/{path}, {other.origin}/{path}",
                next_step="give one of them another name",
            )
        data = cast("dict[str, Json]", copy.deepcopy(self.data))
        lay_over(data, other.data, where=f"{other.origin} over {self.origin}")
        return together((self, other), data=data, manifest={})

    def profile(self, name: str) -> Mapping[str, Json]:
        """The parameters of one profile; one that ``extends`` another has that one's under its own.

        Raises:
            SettingsError: The bundle has no such profile.
            PolicyError: The bundle has no profiles at all, this one is no object, or it extends none that stands by
                itself.
        """
        profiles = _object_at(self.data, "interlock", "profiles")
        if name not in profiles:
            known = ", ".join(sorted(profiles))
            raise SettingsError(f"profile {name!r} is unknown", where="profile", next_step=f"use one of {known}")
        own = _object_at(profiles, name)
        if "extends" not in own:
            return own
        below = own["extends"]
        if not isinstance(below, str) or below not in profiles or "extends" in _object_at(profiles, below):
            raise PolicyError(
                f"profile {name} extends {below!r}, which is no profile that stands by itself",
                where=f"data.interlock.profiles.{name}.extends",
                next_step="name a profile that extends none",
            )
        return _over(_object_at(profiles, below), {key: value for key, value in own.items() if key != "extends"})


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
    required = bundle.profile(profile).get("required")
    named = required.get(step) if isinstance(required, Mapping) else None
    if not isinstance(named, list) or not named or not all(isinstance(gate, str) for gate in named):
        raise PolicyError(
            f"profile {profile} names no gates for {step}",
            where=f"data.interlock.profiles.{profile}.required.{step}",
            next_step='write a list such as ["data-validation", "data-poisoning"]',
        )
    return tuple(cast("list[str]", named))


def packaged_folder() -> Path:
    """The installed `interlock.policies`; wheels are installed unpacked, so it is a folder."""
    return Path(import_module(SHIPPED).__path__[0])


def revision_with(text: str, digest: str) -> str:
    """``<text>@sha256:<digest>``, which tells whoever reads a server's revision what decides there.

    Args:
        text: Free; a digest at its end is replaced.
        digest: Of the bundle.
    """
    return f"{_NAMED_DIGEST.sub('', text)}@sha256:{digest}"


def together(bundles: tuple[Bundle, ...], *, data: Mapping[str, Json], manifest: Mapping[str, Json]) -> Bundle:
    """One bundle of the rules of several, with the data and manifest that the caller made of theirs."""
    texts = (_NAMED_DIGEST.sub("", bundle.revision) for bundle in bundles)
    return _made(
        modules=[module for bundle in bundles for module in (*bundle.modules, *bundle.tests)],
        data=data,
        manifest={**manifest, "revision": "+".join(text for text in texts if text)},
        origin=" + ".join(bundle.origin for bundle in bundles),
        notes=tuple(note for bundle in bundles for note in bundle.notes),
    )


@cache
def _packaged() -> Bundle:
    return _read(files_of_folder(packaged_folder()), None, where=SHIPPED)


def _read(found: Iterable[BundleFile], keys: PolicyKeys | None, *, where: str) -> Bundle:
    files = list(found)
    if keys is not None:
        from interlock.policy.bundles.signatures import check_signature

        check_signature(files, keys, where=where)
    parts = taking_part(files)
    manifest = read_manifest(parts, where)
    roots = roots_of(manifest, where)
    modules = read_modules(parts, roots, where)
    data = read_data(parts, roots, where)
    if not data and not modules:
        raise PolicyError(
            "the bundle is empty: it has no rules and no data",
            where=where,
            next_step="put .rego files or data.json into it",
        )
    bundle = _made(modules=modules, data=data, manifest=manifest, origin=where)
    named = _NAMED_DIGEST.search(bundle.revision)
    if named is not None and bundle.tests:
        raise PolicyError(
            "the revision names the digest, which does not cover the tests that OPA would load as rules",
            where=f"{where}/{MANIFEST}",
            next_step="take the tests away, or build it again with `interlock policy bundle`",
        )
    if named is not None and named.group(1) != bundle.digest:
        raise PolicyError(
            f"the revision names digest {named.group(1)[:12]}, but the bundle's is {bundle.digest[:12]}",
            where=f"{where}/{MANIFEST}",
            next_step="build it again with `interlock policy bundle`",
        )
    return bundle


def _made(
    *,
    modules: Iterable[Module],
    data: Mapping[str, Json],
    manifest: Mapping[str, Json],
    origin: str,
    notes: tuple[str, ...] = (),
) -> Bundle:
    ordered = sorted(modules, key=lambda module: module.path)
    rules = tuple(module for module in ordered if not module.path.endswith(TEST_ENDING))
    rest = {key: value for key, value in manifest.items() if key != "revision"}
    texts = {module.path: hashlib.sha256(module.source.encode()).hexdigest() for module in rules}
    try:
        digest = digest_of({"data": dict(data), "manifest": rest, "rules": texts})
    except (ValueError, RecursionError) as error:  # a lone surrogate in a text, or data nested without end
        raise PolicyError(f"the bundle's data cannot be written: {error}", where=origin, next_step=FIX_DATA) from error
    return Bundle(
        digest=digest,
        revision=str(manifest.get("revision", "")),
        modules=rules,
        data=data,
        tests=tuple(module for module in ordered if module.path.endswith(TEST_ENDING)),
        manifest=rest,
        origin=origin,
        notes=notes,
    )


def _over(below: Mapping[str, Json], above: Mapping[str, Json]) -> dict[str, Json]:
    """As Rego's ``object.union``: objects are merged at any depth, everything else of `above` wins."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _over(cast("Mapping[str, Json]", old), cast("Mapping[str, Json]", value)) if both else value
    return merged


def _object_at(value: Mapping[str, Json], *path: str) -> Mapping[str, Json]:
    for step in path:
        inner = value.get(step)
        if not isinstance(inner, Mapping):
            raise PolicyError("the bundle's data has no object there", where=".".join(path), next_step=FIX_DATA)
        value = inner
    return value
