"""The public keys whose receipts count, and for which gates.

`KeyRing.load` reads a folder that the deployment fills: ``<name>.pub`` or ``<name>.pem`` is one key, and an optional
``<name>.json`` beside it says ``{"gates": ["data-validation"], "dev": false}``: which kinds of gate the key may sign
(an empty list: none any more, its old receipts can only be read), and whether it is a dev key.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from interlock.evidence.keys import DEV_PUBLIC, pem_of, public_key_of
from interlock.gate.errors import SettingsError
from interlock.gate.settings import Settings
from interlock.gate.values import GATE_KINDS

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One public key and what it may sign.

    Args:
        name: For people: the file's name.
        key: As securesystemslib knows it.
        gates: Kinds of gate it may sign, or None for all.
        dev: Whether it is a dev key.
    """

    name: str
    key: SSlibKey
    gates: frozenset[str] | None = None
    dev: bool = False

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
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
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


def _narrower(one: TrustedKey, other: TrustedKey) -> TrustedKey:
    limits = [key.gates for key in (one, other) if key.gates is not None]
    gates = frozenset.intersection(*limits) if limits else None
    return replace(one, gates=gates, dev=one.dev or other.dev)


def _trusted(place: Path) -> TrustedKey:
    key = public_key_of(place.read_bytes(), where=str(place))
    gates, dev = _limits(place.with_suffix(".json"))
    return TrustedKey(name=place.stem, key=key, gates=gates, dev=dev or place.name == DEV_PUBLIC)


def _limits(place: Path) -> tuple[frozenset[str] | None, bool]:
    if not place.exists():
        return None, False
    problem = "what a key may sign cannot be read"
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{problem}: no JSON", where=str(place)) from error
    if not isinstance(document, dict) or set(document) - {"gates", "dev"}:
        raise SettingsError(f"{problem}: only `gates` and `dev` are known", where=str(place))
    gates, dev = document.get("gates"), document.get("dev", False)
    if not isinstance(dev, bool):
        raise SettingsError(f"{problem}: `dev` is true or false", where=str(place))
    if gates is None and "gates" not in document:
        return None, dev
    if not isinstance(gates, list) or not all(gate in GATE_KINDS for gate in gates):
        raise SettingsError(
            f"{problem}: `gates` is a list of kinds of gate", where=str(place), next_step=f"use {', '.join(GATE_KINDS)}"
        )
    return frozenset(gates), dev
