"""An organisation's own data and rules, laid over a bundle without copying it.

Data of a layer wins: objects are merged at any depth, scalars and lists are replaced, so a threshold or a whole profile
is set by naming it. Rules of a layer stand beside those below: a layer may bring packages of its own, which the
decision collects by their place (``interlock.dataset.<name>``), and never reach into one that is there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle, together
from interlock.policy.bundles.content import Module, lay_over, roots_of

_OWN_PACKAGE = "give the rule a package of its own, such as interlock.dataset.<organisation>_<rule>"
_OWN_DATA = "put data of your own under a path of your own; parameters of rules are under data.interlock.profiles"


def layered(base: Bundle, layers: Sequence[Bundle]) -> Bundle:
    """Lay bundles over `base`, in their order.

    Args:
        base: What decides without them.
        layers: Each over all before it.

    Returns:
        One bundle; its digest is that of what came out. Without layers, `base` itself.

    Raises:
        PolicyError: `base` has no rules, so nothing would decide. Or a layer has a file or a package that is there,
            reaches into one, or puts data where an object and something else would meet, or under a package that is
            not its own.
    """
    if not base.modules:
        raise PolicyError("the policy has no rules", where=base.origin, next_step="put .rego files into it")
    for layer in layers:
        base = _over(base, layer)
    return base


def _over(base: Bundle, layer: Bundle) -> Bundle:
    _check_modules(base, layer)
    _check_packages_data(base, layer)
    data = cast("dict[str, Json]", copy.deepcopy(base.data))
    lay_over(data, layer.data, where=f"{layer.origin} over {base.origin}")
    return together((base, layer), data=data, manifest=_manifest(base, layer))


def _check_modules(base: Bundle, layer: Bundle) -> None:
    """Refuse files and packages that meet; a test is a rule to OPA, so tests are looked at too."""
    below = _all_modules(base)
    paths = {module.path for module in below}
    packages = {module.package: module for module in below}
    for module in _all_modules(layer):
        where = f"{layer.origin}/{module.path}"
        if module.path in paths:
            raise PolicyError(
                "a layer has a file of the same path",
                where=f"{where}, {base.origin}/{module.path}",
                next_step="give it another name; a layer adds rules and replaces none",
            )
        for package, there in packages.items():
            if _meet(module.package, package):
                raise PolicyError(
                    f"a layer reaches into package {package} with package {module.package}",
                    where=f"{where}, {base.origin}/{there.path}",
                    next_step=_OWN_PACKAGE,
                )


def _check_packages_data(base: Bundle, layer: Bundle) -> None:
    """Data under a package of the base would answer in place of its rules, unless the base has data there itself."""
    for there in _all_modules(base):
        path = there.package.split(".")
        ours, theirs = _at(layer.data, path), _at(base.data, path)
        if ours is not None and not _known(ours, theirs):
            raise PolicyError(
                f"a layer puts data under package {there.package}",
                where=f"{layer.origin}, {base.origin}/{there.path}",
                next_step=_OWN_DATA,
            )
    for there in _all_modules(layer):
        if _at(base.data, there.package.split(".")) is not None:
            raise PolicyError(
                f"a layer has package {there.package} where there is data",
                where=f"{layer.origin}/{there.path}, {base.origin}",
                next_step=_OWN_PACKAGE,
            )


def _all_modules(bundle: Bundle) -> tuple[Module, ...]:
    return (*bundle.modules, *bundle.tests)


def _meet(one: str, other: str) -> bool:
    """Whether two packages are one, or one lies in the other: ``package a`` may define ``b.c`` of ``package a.b``."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _at(value: Json, path: Sequence[str]) -> Json:
    """What lies at `path`, or where the way to it ends in something else than an object; None where nothing is."""
    for step in path:
        if not isinstance(value, Mapping):
            return value
        value = value.get(step)
    return value


def _known(ours: Json, theirs: Json) -> bool:
    """Whether `ours` only says anew what `theirs` says too."""
    if not isinstance(ours, Mapping):
        return theirs is not None and not isinstance(theirs, Mapping)
    return isinstance(theirs, Mapping) and all(key in theirs and _known(ours[key], theirs[key]) for key in ours)


def _manifest(base: Bundle, layer: Bundle) -> dict[str, Json]:
    """One manifest for both: all roots, none inside another, as OPA asks for."""
    merged: dict[str, Json] = {**base.manifest, **layer.manifest}
    roots = {root for bundle in (base, layer) for root in roots_of(bundle.manifest, bundle.origin)}
    widest = [root for root in roots if not any(root[: len(other)] == other for other in roots - {root})]
    merged["roots"] = sorted("/".join(root) for root in widest)
    metadata = [cast("Mapping[str, Json]", bundle.manifest.get("metadata", {})) for bundle in (base, layer)]
    if any(metadata):
        merged["metadata"] = {**metadata[0], **metadata[1]}
    return merged
