"""Does NVIDIA's attestation speak for the GPUs of this machine, now? Verifies a detached EAT; asks no service.

The format is that of ``nvattest attest --format json`` and of NRAS (claims version 3.0; NVIDIA/attestation-sdk,
``claims.cpp`` and ``gpu/claims.cpp``; RFC 9711, detached EAT bundles): ``[["JWT", overall], {"GPU-0": token, ...}]``,
where the overall token's ``submods`` holds the SHA-256 of each device's token. `tokens` says whose words they are; here
it is decided whether they are good. What a token says is worth no more than the service whose key signed it, and
nothing in it names the device by the UUID that NVML uses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interlock.gate import EvidenceError, InterlockError, Json, SignatureError, UsageError
from interlock.gate.documents import unambiguous_json
from interlock.training.gpu.tokens import PinnedKeys

NONCE_BYTES = 32
"""What the GPU's SPDM measurement request takes."""

MAXIMUM_BYTES = 2**20
_MAXIMUM_DEVICES = 64
_CLOCK_SKEW = 60.0
_LONGEST_LIFE = 24 * 3600.0
_NONCE = re.compile(rf"[0-9a-fA-F]{{{2 * NONCE_BYTES}}}\Z")
_SUBMOD = re.compile(r"GPU-[0-9]{1,3}\Z")
_DIGEST_NAMES = ("SHA-256", "SHA256")  # NRAS spells it with a hyphen, the local verifier without
_SUBJECT = "NVIDIA-PLATFORM-ATTESTATION"
_TRUE = (
    "secboot",
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-attestation-report-cert-chain-fwid-match",
    "x-nvidia-gpu-driver-rim-fetched",
    "x-nvidia-gpu-driver-rim-signature-verified",
    "x-nvidia-gpu-driver-rim-version-match",
    "x-nvidia-gpu-driver-rim-measurements-available",
    "x-nvidia-gpu-vbios-rim-fetched",
    "x-nvidia-gpu-vbios-rim-signature-verified",
    "x-nvidia-gpu-vbios-rim-version-match",
    "x-nvidia-gpu-vbios-rim-measurements-available",
    "x-nvidia-gpu-vbios-index-no-conflict",
)
# NRAS says these, the local verifier does not.
_NOT_FALSE = ("x-nvidia-gpu-driver-rim-schema-validated", "x-nvidia-gpu-vbios-rim-schema-validated")
_CHAINS = (
    "x-nvidia-gpu-attestation-report-cert-chain",
    "x-nvidia-gpu-driver-rim-cert-chain",
    "x-nvidia-gpu-vbios-rim-cert-chain",
)
_CHAIN = (("x-nvidia-cert-status", "valid"), ("x-nvidia-cert-ocsp-status", "good"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRules:
    """What else has to be measured; an empty tuple asks for nothing.

    Args:
        issuers: Values of ``iss`` that count.
        models: Values of ``hwmodel`` that count.
        drivers: Driver versions that count.
        vbioses: VBIOS versions that count.
    """

    issuers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    vbioses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedGpu:
    """One device as its token describes it.

    Args:
        name: Its submod, for example ``GPU-0``.
        ueid: The device's own serial in its certificate.
        model: ``hwmodel``.
        driver: Version that was measured.
        vbios: Version that was measured.
    """

    name: str
    ueid: str
    model: str
    driver: str
    vbios: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What came of a verification.

    Args:
        problems: Why it does not hold; empty when it does.
        devices: Those whose token holds.
        issuer: Who attested; empty before the overall signature was found to hold.
        kid: The pinned key that signed.
        issued: Seconds since the epoch; 0 likewise.
        expires: Seconds since the epoch; 0 likewise.
        nonce: The one that was asked for, in hexadecimal.
    """

    problems: tuple[str, ...]
    devices: tuple[AttestedGpu, ...] = ()
    issuer: str = ""
    kid: str = ""
    issued: float = 0.0
    expires: float = 0.0
    nonce: str

    @property
    def verified(self) -> bool:
        """Whether everything holds."""
        return not self.problems

    def facts(self) -> dict[str, Json]:
        """What policy reads as ``report.facts.gpu.attestation``."""
        return {
            "verified": self.verified,
            "problems": list(self.problems),
            "issuer": self.issuer,
            "kid": self.kid,
            "issued": self.issued,
            "expires": self.expires,
            "nonce": self.nonce,
            "devices": [{name: getattr(gpu, name) for name in gpu.__dataclass_fields__} for gpu in self.devices],
        }


def new_nonce() -> str:
    """A nonce of our own, in hexadecimal: what makes a token an answer to us, and not an old one."""
    return secrets.token_hex(NONCE_BYTES)


def verify_attestation(
    raw: str | bytes, *, keys: PinnedKeys, nonce: str, rules: MeasurementRules | None = None, now: float | None = None
) -> Attestation:
    """Hold a detached EAT against the pinned keys, our nonce and the measurement rules.

    Args:
        raw: What ``nvattest`` or NRAS gave; unverified.
        keys: Whose signature counts.
        nonce: The one that the GPUs were asked with, in hexadecimal.
        rules: What else has to be measured.
        now: Seconds since the epoch; the clock when not given.

    Raises:
        EvidenceError: It is no detached EAT, so there is nothing to judge.
        UsageError: `nonce` is none.
    """
    if not _NONCE.match(nonce):
        raise UsageError(f"a nonce is {NONCE_BYTES} bytes in hexadecimal", where=repr(nonce[:80]))
    overall, tokens = _bundle(raw)
    check = _Check(keys, nonce.lower(), rules or MeasurementRules(), time.time() if now is None else now)
    try:
        claims, kid = keys.claims(overall)
    except SignatureError as error:
        return Attestation(problems=(f"overall: {error.what}",), nonce=check.nonce)
    check.overall(claims)
    devices = tuple(check.devices(claims.get("submods"), tokens))
    return Attestation(
        problems=tuple(check.problems),
        devices=devices,
        issuer=_said(claims.get("iss")),
        kid=kid,
        issued=_number(claims.get("iat")) or 0.0,
        expires=_number(claims.get("exp")) or 0.0,
        nonce=check.nonce,
    )


def _bundle(raw: str | bytes) -> tuple[str, Mapping[str, str]]:
    """The overall token and those of the devices."""
    if len(raw) > MAXIMUM_BYTES:
        raise EvidenceError(f"the attestation is larger than {MAXIMUM_BYTES} bytes")
    try:
        document = unambiguous_json(raw)
    except ValueError as error:
        raise EvidenceError(f"the attestation is no JSON that counts: {error}") from error
    if isinstance(document, Mapping):
        # nvattest's own answer; its `result_code` and `claims` are signed by nobody, so they are not read.
        document = document.get("detached_eat")
    match document:
        case [["JWT", str(overall)], dict(devices)]:
            tokens = {name: token for name, token in devices.items() if isinstance(token, str)}
            if len(devices) > _MAXIMUM_DEVICES:
                raise EvidenceError(f"the attestation speaks of more than {_MAXIMUM_DEVICES} devices")
            if len(tokens) == len(devices):
                return overall, tokens
    raise EvidenceError(
        "the attestation is no detached EAT",
        next_step="give what `nvattest attest --device gpu --verifier remote --nonce HEX --format json` prints",
    )


class _Check:
    """Goes through the claims and collects what does not hold."""

    def __init__(self, keys: PinnedKeys, nonce: str, rules: MeasurementRules, now: float) -> None:
        self._keys = keys
        self.nonce = nonce
        self._rules = rules
        self._now = now
        self._issuer: Json = None
        self.problems: list[str] = []

    def overall(self, claims: Mapping[str, Json]) -> None:
        """The claims over all devices."""
        self._issuer = claims.get("iss")
        if claims.get("sub") != _SUBJECT:
            self._bad("overall", f"sub is {_said(claims.get('sub'))!r}, not {_SUBJECT!r}")
        if claims.get("x-nvidia-overall-att-result") is not True:
            self._bad("overall", "the overall result is not true")
        if not isinstance(self._issuer, str) or not self._issuer:
            self._bad("overall", "it names no issuer")
        self._among("overall", "iss", claims, self._rules.issuers)
        self._fresh("overall", claims)

    def devices(self, submods: Json, tokens: Mapping[str, str]) -> Iterator[AttestedGpu]:
        """Those of which every claim holds; each token is one that the overall token vouches for."""
        named = submods if isinstance(submods, Mapping) else {}
        if not named:
            self._bad("overall", "it speaks of no device")
        for name in sorted(set(named) ^ set(tokens)):
            self._bad(name, "a token that the overall one does not speak of" if name in tokens else "its token is gone")
        seen: set[str] = set()
        for name in sorted(set(named) & set(tokens)):
            before = len(self.problems)
            gpu = self._device(name, named[name], tokens[name])
            if gpu is not None and gpu.ueid in seen:
                self._bad(name, f"the device {gpu.ueid} stands twice")
            if gpu is not None and len(self.problems) == before:
                seen.add(gpu.ueid)
                yield gpu

    def _device(self, name: str, digest: Json, token: str) -> AttestedGpu | None:
        if not _SUBMOD.match(name):
            self._bad(name, "it is not named as a GPU")
            return None
        match digest:
            case ["DIGEST", [str(algorithm), str(expected)]] if algorithm in _DIGEST_NAMES:
                found = hashlib.sha256(token.encode()).hexdigest()
                if not hmac.compare_digest(found.encode(), expected.lower().encode()):
                    self._bad(name, "its token is another one than the overall token speaks of")
                    return None
            case _:
                self._bad(name, "the overall token holds no SHA-256 of its token")
                return None
        try:
            claims, _ = self._keys.claims(token)
        except InterlockError as error:
            self._bad(name, error.what)
            return None
        self._measured(name, claims)
        return AttestedGpu(
            name=name,
            ueid=_said(claims.get("ueid")),
            model=_said(claims.get("hwmodel")),
            driver=_said(claims.get("x-nvidia-gpu-driver-version")),
            vbios=_said(claims.get("x-nvidia-gpu-vbios-version")),
        )

    def _measured(self, name: str, claims: Mapping[str, Json]) -> None:
        if claims.get("iss") != self._issuer:
            self._bad(name, "another issuer than that of the overall token")
        self._fresh(name, claims)
        for problem in _unmeasured(claims):
            self._bad(name, problem)
        for claim in ("ueid", "hwmodel", "x-nvidia-gpu-driver-version", "x-nvidia-gpu-vbios-version"):
            if not _said(claims.get(claim)):
                self._bad(name, f"{claim} is not said")
        self._among(name, "hwmodel", claims, self._rules.models)
        self._among(name, "x-nvidia-gpu-driver-version", claims, self._rules.drivers)
        self._among(name, "x-nvidia-gpu-vbios-version", claims, self._rules.vbioses)

    def _fresh(self, name: str, claims: Mapping[str, Json]) -> None:
        """Our nonce, and a time that counts now (RFC 7519 sections 4.1.4 to 4.1.6)."""
        nonce = claims.get("eat_nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.lower().encode(), self.nonce.encode()):
            self._bad(name, "it answers another nonce than ours")
        issued, expires = _number(claims.get("iat")), _number(claims.get("exp"))
        if issued is None or expires is None:
            self._bad(name, "it does not say from when until when it counts")
            return
        if self._now >= expires:
            self._bad(name, "it has expired")
        if self._now < issued - _CLOCK_SKEW or self._now < (_number(claims.get("nbf", issued)) or 0) - _CLOCK_SKEW:
            self._bad(name, "it does not count yet; check this machine's clock")
        if "nbf" in claims and _number(claims["nbf"]) is None:
            self._bad(name, "nbf is no number")
        if expires - issued > _LONGEST_LIFE:
            self._bad(name, "it counts for longer than a day")

    def _among(self, name: str, claim: str, claims: Mapping[str, Json], wanted: tuple[str, ...]) -> None:
        if wanted and claims.get(claim) not in wanted:
            self._bad(name, f"{claim} is {_said(claims.get(claim))!r}, none of {', '.join(wanted)}")

    def _bad(self, name: str, problem: str) -> None:
        self.problems.append(f"{name[:80]}: {problem}")


def _unmeasured(claims: Mapping[str, Json]) -> Iterator[str]:
    """What NVIDIA's verifier did not find to be as it has to be; a claim that is not there was not found."""
    for claim, wanted in (("measres", "success"), ("dbgstat", "disabled")):
        if claims.get(claim) != wanted:
            yield f"{claim} is {_said(claims.get(claim))!r}, not {wanted!r}"
    untrue = [claim for claim in _TRUE if claims.get(claim) is not True]
    untrue += [claim for claim in _NOT_FALSE if claims.get(claim, True) is not True]
    yield from (f"{claim} is not true" for claim in untrue)
    if claims.get("x-nvidia-mismatch-measurement-records"):
        yield "measurements differ from their reference values"
    for chain in _CHAINS:
        said = claims.get(chain)
        for claim, wanted in _CHAIN:
            if not isinstance(said, Mapping) or said.get(claim) != wanted:
                yield f"{claim} of {chain} is not {wanted!r}"


def _said(value: Json) -> str:
    """A text of a token, for people; anything else is said to be nothing."""
    return value[:200] if isinstance(value, str) else ""


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**53 else None
