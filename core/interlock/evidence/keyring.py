"""The public keys whose receipts count, and for which gates.

`KeyRing.load` reads a folder that the deployment fills: ``<name>.pub`` or ``<name>.pem`` is one key, and an optional
``<name>.json`` beside it says what the key may sign, for example ``{"gates": ["data-validation"], "approvals": true}``:

- ``gates``: kinds of gate (an empty list: none any more, its old receipts can only be read); all, unless said;
- ``exemptions``, ``approvals``: whether it may sign these; no, unless said (the dev key may, and policy sees that it
  is one);
- ``models``: whether models count as signed by it; no, unless said;
- ``dev``: whether it is a dev key.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from interlock.evidence.keys import DEV_PUBLIC, pem_of, public_key_of
from interlock.gate.errors import SettingsError
from interlock.gate.settings import Settings
from interlock.gate.values import GATE_KINDS

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

_KNOWN = frozenset({"gates", "dev", "exemptions", "approvals", "models"})
_PROBLEM = "what a key may sign cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One public key and what it may sign.

    Args:
        name: For people: the file's name.
        key: As securesystemslib knows it.
        gates: Kinds of gate it may sign, or None for all.
        dev: Whether it is a dev key.
        exemptions: Whether it may sign exemptions.
        approvals: Whether it may sign approvals.
        models: Whether it may sign models.
    """

    name: str
    key: SSlibKey
    gates: frozenset[str] | None = None
    dev: bool = False
    exemptions: bool = False
    approvals: bool = False
    models: bool = False

    @property
    def keyid(self) -> str:
        """sha256 of the canonical public key."""
        return self.key.keyid

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo PEM."""
        return pem_of(self.key)

    def may_sign(self, gate: str) -> bool:
        """Whether receipts of that kind of gate count when this key signed them."""
        return self.gates is None or gate in self.gates


class KeyRing:
    """The trusted keys by key id. An empty ring trusts nobody."""

    def __init__(self, keys: Iterable[TrustedKey]) -> None:
        """Where one key is listed twice, the narrower limits hold and dev in one place is dev.

        Args:
            keys: The keys to trust.
        """
        ring: dict[str, TrustedKey] = {}
        for key in keys:
            before = ring.get(key.keyid)
            ring[key.keyid] = key if before is None else _narrower(before, key)
        self._keys: Mapping[str, TrustedKey] = MappingProxyType(ring)

    @classmethod
    def load(cls, settings: Settings) -> KeyRing:
        """Read the folder `settings.trusted_keys`; a folder that is not there trusts nobody.

        Raises:
            SettingsError: A file in it is no public key, a limit is malformed, or everybody may write to the folder.
        """
        folder = settings.trusted_keys
        try:
            mode = folder.stat().st_mode
            names = sorted(path for path in folder.iterdir() if path.suffix in {".pub", ".pem"})
            if mode & stat.S_IWOTH and not _is_read_only(folder):
                raise SettingsError(
                    "everybody may add trusted keys", where=str(folder), next_step=f"chmod o-w {folder}"
                )
            return cls([_trusted(path) for path in names])
        except FileNotFoundError:
            return cls([])
        except OSError as error:
            raise SettingsError(f"the trusted keys cannot be read: {error.strerror}", where=str(folder)) from error

    def get(self, keyid: str) -> TrustedKey | None:
        """The key of that id, if it is trusted."""
        return self._keys.get(keyid)

    def __iter__(self) -> Iterator[TrustedKey]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)


def _is_read_only(folder: Path) -> bool:
    """Whether it is mounted read-only, as Kubernetes mounts a Secret: with rights for everybody that nobody can use."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _narrower(one: TrustedKey, other: TrustedKey) -> TrustedKey:
    limits = [key.gates for key in (one, other) if key.gates is not None]
    return replace(
        one,
        gates=frozenset.intersection(*limits) if limits else None,
        dev=one.dev or other.dev,
        exemptions=one.exemptions and other.exemptions,
        approvals=one.approvals and other.approvals,
        models=one.models and other.models,
    )


def _trusted(place: Path) -> TrustedKey:
    key = public_key_of(place.read_bytes(), where=str(place))
    limits = place.with_suffix(".json")
    said = _said(limits) if limits.is_symlink() or limits.exists() else {}  # a link into nowhere limits, too
    is_dev = place.name == DEV_PUBLIC
    return TrustedKey(
        name=place.stem,
        key=key,
        gates=_gates(said, limits),
        dev=_flag(said, "dev", limits) or is_dev,
        exemptions=_flag(said, "exemptions", limits, default=is_dev),
        approvals=_flag(said, "approvals", limits, default=is_dev),
        models=_flag(said, "models", limits),
    )


def _said(place: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{_PROBLEM}: {error.strerror}", where=str(place)) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{_PROBLEM}: no JSON", where=str(place)) from error
    if not isinstance(document, dict) or set(document) - _KNOWN:
        known = ", ".join(f"`{name}`" for name in sorted(_KNOWN))
        raise SettingsError(f"{_PROBLEM}: only {known} are known", where=str(place))
    return document


def _flag(said: Mapping[str, Any], name: str, place: Path, *, default: bool = False) -> bool:
    value = said.get(name, default)
    if not isinstance(value, bool):
        raise SettingsError(f"{_PROBLEM}: `{name}` is true or false", where=str(place))
    return value


def _gates(said: Mapping[str, Any], place: Path) -> frozenset[str] | None:
    if "gates" not in said:
        return None
    gates = said["gates"]
    if not isinstance(gates, list) or not all(gate in GATE_KINDS for gate in gates):
        raise SettingsError(
            f"{_PROBLEM}: `gates` is a list of kinds of gate",
            where=str(place),
            next_step=f"use {', '.join(GATE_KINDS)}",
        )
    return frozenset(gates)
