"""The deployment's own ledger, keys and policy, as a bundle asks them for lint receipts.

They come from Interlock's settings on the machine that prepares the bundle, never from the bundle. Signing is not
among them: a DAG processor or worker needs public keys only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.evidence.attestation import Attestations
    from interlock.evidence.ledger import Ledger

LINT_GATE = "pipeline"
"""The gate whose receipts `interlock lint --receipts` writes, one for each file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a bundle asks, and where it records what it refused."""

    attestations: Attestations
    ledger: Ledger


@contextmanager
def opened_evidence() -> Iterator[Evidence]:
    """Open ledger, keyring and policy as the settings name them.

    Raises:
        SettingsError: Something that the settings name is not there or not to be used.
        PolicyError: The policy cannot be used.
        UnavailableError: The ledger or the policy's server did not answer; try again.
    """
    from interlock.evidence.attestation import Attestations
    from interlock.evidence.keyring import KeyRing
    from interlock.evidence.ledger import Ledger
    from interlock.evidence.receipt_sources import open_receipts
    from interlock.gate.settings import Settings
    from interlock.policy import open_decider

    settings = Settings.load()
    with closing(open_decider(settings)) as decider:
        bundles = {decider.bundle_digest, *settings.known_bundles}
    with closing(Ledger.open(settings.ledger_url)) as ledger:
        attestations = Attestations(
            gate=LINT_GATE,
            receipts=open_receipts(settings, ledger),
            keyring=KeyRing.load(settings),
            bundles=bundles,
        )
        yield Evidence(attestations=attestations, ledger=ledger)
