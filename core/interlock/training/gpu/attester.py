"""Asks the deployment's attester (``nvattest``, or a program that speaks as it does) with a nonce of our own.

The program may lie: what it prints is held against the pinned keys by `attestation`, and counts for nothing else.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interlock.gate import InterlockError, UsageError
from interlock.training.gpu.attestation import (
    MAXIMUM_BYTES,
    Attestation,
    MeasurementRules,
    new_nonce,
    verify_attestation,
)
from interlock.training.gpu.choice import Assigned
from interlock.training.gpu.state import GpuState
from interlock.training.gpu.tokens import read_keys

DEFAULT_COMMAND = "nvattest attest --device gpu --verifier remote --nonce {nonce} --format json"
_SECONDS = 120.0
_PASSED_ON = ("PATH", "HOME", "LANG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attester:
    """How a deployment attests its GPUs.

    Args:
        keys: File of the pinned key set.
        command: Words with ``{nonce}`` in them.
        rules: What has to be measured beside NVIDIA's own results.
    """

    keys: Path
    command: tuple[str, ...] = tuple(shlex.split(DEFAULT_COMMAND))
    rules: MeasurementRules = field(default_factory=MeasurementRules)

    @classmethod
    def of(cls, keys: str, command: str = "") -> Attester:
        """From the settings `gpu_keys` and `gpu_attester`; an empty command is ``nvattest``'s."""
        return cls(keys=Path(keys).expanduser(), command=tuple(shlex.split(command or DEFAULT_COMMAND)))

    def __post_init__(self) -> None:
        if not any("{nonce}" in word for word in self.command):
            raise UsageError("the attester's command has no place for the nonce", next_step="write {nonce} into it")

    def attest(self, state: GpuState, assigned: Sequence[Assigned]) -> Attestation:
        """Ask, verify, and hold the answer against what NVML says of the devices; every failure is a problem of it.

        Args:
            state: Of the machine.
            assigned: The devices of the training.

        Raises:
            UsageError: The key set cannot be used.
        """
        keys = read_keys(self.keys)
        nonce = new_nonce()
        try:
            found = verify_attestation(self._asked(nonce), keys=keys, nonce=nonce, rules=self.rules)
        except (InterlockError, OSError, subprocess.SubprocessError, ValueError) as error:
            return Attestation(problems=(f"no attestation: {error}",), nonce=nonce)
        if found.problems:
            return found
        return Attestation(
            problems=tuple(_contradictions(found, state, assigned)),
            devices=found.devices,
            issuer=found.issuer,
            kid=found.kid,
            issued=found.issued,
            expires=found.expires,
            nonce=nonce,
        )

    def _asked(self, nonce: str) -> bytes:
        words = [word.replace("{nonce}", nonce) for word in self.command]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=_SECONDS, check=False
        )
        # Its status says what it thinks of the result; the signed tokens decide.
        if not done.stdout.strip():
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise ValueError(f"{words[0]} ended with status {done.returncode}: {said}")
        return done.stdout[: MAXIMUM_BYTES + 1]


def _contradictions(found: Attestation, state: GpuState, assigned: Sequence[Assigned]) -> list[str]:
    """Where the attested devices cannot be those that NVML shows."""
    wrong: list[str] = []
    cards = {place.device.uuid for place in assigned}
    if len(found.devices) < len(cards):
        wrong.append(f"{len(found.devices)} GPUs are attested, {len(cards)} are used")
    attested = {gpu.vbios.upper() for gpu in found.devices}
    wrong += [
        f"{place.uuid}: VBIOS {place.device.vbios} is not attested"
        for place in assigned
        if (place.device.vbios or "").upper() not in attested
    ]
    if {gpu.driver for gpu in found.devices} != {state.driver}:
        wrong.append(f"driver {state.driver} is not the attested one")
    return wrong
