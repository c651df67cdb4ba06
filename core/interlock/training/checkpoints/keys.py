"""The key of one lineage of checkpoints: it signs them, and seals them where that is asked for.

The key that signs receipts is never where a training runs. A lineage's key is made of a master key that stays outside
and the lineage's name (HKDF-SHA256, RFC 5869); the training gets it by descriptor. It lets a training continue its own
checkpoints, and neither those of another lineage nor anything that a receipt says.
"""

from __future__ import annotations

import secrets
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate.errors import SettingsError, UsageError
from interlock.gate.settings import Settings

if TYPE_CHECKING:
    from interlock.evidence.keys import ReceiptSigner

MASTER = "checkpoints.key"
"""The master key's file beside the dev key; 32 random bytes that only this user can read."""

LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class LineageKey:
    """Signs and seals the checkpoints of one lineage.

    Args:
        secret: 32 bytes; never printed.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != LENGTH:
            raise UsageError(f"a key of checkpoints has {LENGTH} bytes, not {len(self.secret)}")

    @cached_property
    def signer(self) -> ReceiptSigner:
        """An Ed25519 key (RFC 8032) made of the secret; its public half is all that a verifier needs."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from securesystemslib.signer import CryptoSigner

        from interlock.evidence.keys import ReceiptSigner

        private = Ed25519PrivateKey.from_private_bytes(derived(self.secret, salt=b"", purpose="signature"))
        signer = CryptoSigner(private)
        return ReceiptSigner(signer=signer, public=signer.public_key, dev=False)

    @cached_property
    def sealing(self) -> bytes:
        """The key that `sealing` takes."""
        return derived(self.secret, salt=b"", purpose="sealing")


def derived(secret: bytes, *, salt: bytes, purpose: str) -> bytes:
    """32 bytes out of `secret` for one purpose only (HKDF-SHA256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"interlock checkpoint v1: {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=LENGTH, salt=salt, info=info).derive(secret)


def lineage_key(settings: Settings, lineage: str) -> LineageKey:
    """The key of the checkpoints of `lineage`; the master key is made on first use.

    Args:
        settings: Whose `home` holds the master key.
        lineage: What the trainings that continue each other have in common: the output's path or URL.

    Raises:
        UsageError: The lineage has no name.
        SettingsError: The master key cannot be made or read, or others can read it.
    """
    if not lineage:
        raise UsageError("a lineage of checkpoints has a name", next_step="name it by the output's path or URL")
    return LineageKey(secret=derived(_master(settings.home / "keys" / MASTER), salt=b"", purpose=f"of {lineage}"))


def _master(place: Path) -> bytes:
    from interlock.evidence.keys import write_new

    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            write_new(place, secrets.token_bytes(LENGTH), mode=0o600)
        if stat.S_IMODE(place.stat().st_mode) & 0o077:
            step = f"chmod 600 {place}, and begin new checkpoints: whoever read it can sign these"
            raise SettingsError("others can read the master key of checkpoints", where=str(place), next_step=step)
        master = place.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the master key of checkpoints cannot be made or read: {error.strerror}",
            where=str(place),
            next_step="set `home` to a folder that this user may write",
        ) from error
    if len(master) != LENGTH:
        step = "take the file away; a new one cannot verify older checkpoints"
        raise SettingsError("the master key of checkpoints is damaged", where=str(place), next_step=step)
    return master
