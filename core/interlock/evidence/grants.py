"""Exemptions and approvals: a person's signed, expiring, reasoned word, as an in-toto Statement v1 in a DSSE envelope.

They are evidence and not policy. An exemption sets named reasons aside for one gate and one subject; an approval says
that a person agrees to one step with exactly these bytes. What either is worth is the policy's business
(`policies/interlock/decision`, `policies/interlock/deployment`): here it is only established that a trusted key which
may say so did say so, and that it is in its time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from interlock.evidence.keyring import KeyRing, TrustedKey
from interlock.evidence.keys import ReceiptSigner
from interlock.evidence.receipt import STATEMENT_TYPE, strict_json
from interlock.evidence.verification import CLOCK_SKEW, PAYLOAD_TYPE, open_envelope, verified_signers
from interlock.gate.documents import canonical_json, moment_of, timestamp
from interlock.gate.errors import ReceiptError, SignatureError, UsageError
from interlock.gate.values import Json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

EXEMPTION = "urn:interlock:exemption:v1"
APPROVAL = "urn:interlock:approval:v1"

LONGEST = timedelta(days=90)
"""Whoever wants more time signs again, and thinks again."""

NAME_DIGEST = "interlock_name_sha256"
"""DigestSet algorithm of a subject of which only the name is known: sha256 of the name in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who signed, as the verifier knows them; empty in what is not signed yet.

    Args:
        by: Name of the trusted key on this machine; what the statement itself says of its author is not believed.
        keyid: Its key id.
        dev: Whether it is a dev key.
    """

    by: str
    keyid: str
    dev: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """A break-glass: sets reasons of policy aside for one subject at one gate, for a time.

    Args:
        id: ULID; receipts and the decision log name it when it is used.
        reason: Why, for whoever reads the receipt later.
        rules: Ids of the reasons that it sets aside.
        gate: Kind of gate, or of protected step.
        digest: The one subject that it is for; empty when it is for a name.
        subject: The name of the subjects that it is for; empty when it is for one digest.
        profiles: Where it holds; at least one.
        issued: UTC.
        expires: UTC; from then on it is as if absent.
    """

    id: str
    reason: str
    rules: tuple[str, ...]
    gate: str
    digest: str = ""
    subject: str = ""
    profiles: tuple[str, ...]
    issued: datetime
    expires: datetime

    @property
    def predicate_type(self) -> str:
        """What kind of statement it is."""
        return EXEMPTION

    def predicate(self) -> dict[str, Json]:
        """What the signature binds beside the subject."""
        return {
            "id": self.id,
            "reason": self.reason,
            "rules": list(self.rules),
            "gate": self.gate,
            "profiles": list(self.profiles),
            "issued": timestamp(self.issued),
            "expires": timestamp(self.expires),
        }

    def document(self, signed: Signed) -> dict[str, Json]:
        """What a policy rule reads of it."""
        what: dict[str, Json] = {"digest": {"sha256": self.digest}} if self.digest else {"subject": self.subject}
        return self.predicate() | what | {"by": signed.by, "keyid": signed.keyid, "dev": signed.dev}

    def concerns(self, *, gate: str, name: str, digest: str, profile: str) -> bool:
        """Whether it is about this question."""
        same = self.digest == digest if self.digest else self.subject == name
        return same and self.gate == gate and profile in self.profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's word for one step with exactly these bytes.

    Args:
        id: ULID.
        reason: What was looked at; may be empty.
        step: Kind of protected step, for example ``deployment``.
        digest: The one subject that it is for.
        name: The subject's name, for people.
        issued: UTC.
        expires: UTC; from then on it is as if absent.
    """

    id: str
    reason: str
    step: str
    digest: str
    name: str
    issued: datetime
    expires: datetime

    @property
    def predicate_type(self) -> str:
        """What kind of statement it is."""
        return APPROVAL

    def predicate(self) -> dict[str, Json]:
        """What the signature binds beside the subject."""
        return {
            "id": self.id,
            "reason": self.reason,
            "step": self.step,
            "issued": timestamp(self.issued),
            "expires": timestamp(self.expires),
        }

    def document(self, signed: Signed) -> dict[str, Json]:
        """What a policy rule reads of it."""
        who: dict[str, Json] = {"by": signed.by, "keyid": signed.keyid, "dev": signed.dev}
        return self.predicate() | {"digest": {"sha256": self.digest}} | who

    def concerns(self, *, gate: str, name: str, digest: str, profile: str) -> bool:  # noqa: ARG002 (as an exemption's)
        """Whether it is about this question."""
        return self.step == gate and self.digest == digest


Grant = Exemption | Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticGrant:
    """A grant under the signature of a trusted key that may sign such grants, in its time or not."""

    grant: Grant
    signed: Signed


def sign_grant(grant: Grant, signer: ReceiptSigner) -> str:
    """The DSSE envelope of `grant`, as JSON.

    Raises:
        UsageError: It lives too long, or says something that the published schema has no place for.
        SettingsError, UnavailableError: As `ReceiptSigner.sign`.
    """
    from securesystemslib.dsse import Envelope

    statement = _statement(grant, signer)
    try:
        _check_shape(statement)
        _check_lifetime(grant)
    except ReceiptError as error:
        raise UsageError(error.what, where=error.where, next_step=error.next_step) from error
    envelope = Envelope(canonical_json(statement), PAYLOAD_TYPE, {})
    signer.sign(envelope)
    return json.dumps(envelope.to_dict())


def authentic_grant(envelope: bytes | str, keyring: KeyRing) -> AuthenticGrant:
    """Verify signature, shape and right to sign, but not time: for lists.

    Args:
        envelope: A DSSE envelope as JSON, untrusted.
        keyring: Whose signatures count, and for what.

    Raises:
        SignatureError: No trusted key signed it, a trusted key's signature does not hold, or that key may not sign
            such grants.
        ReceiptError: It is malformed.
    """
    opened = open_envelope(envelope)
    signers = verified_signers(opened, keyring)
    statement = strict_json(opened.payload, what="a grant's payload")
    try:
        canonical_json(statement)
    except (ValueError, RecursionError) as error:
        raise ReceiptError("it holds what cannot be written again", where="statement") from error
    _check_shape(statement)
    grant, keyid = grant_of(statement), statement["predicate"]["signer"]["keyid"]
    key = signers.get(keyid)
    if key is None:
        raise ReceiptError("it names another signer than the one who signed it", where=grant.id)
    _check_right(key, grant)
    _check_lifetime(grant)
    return AuthenticGrant(
        grant=grant,
        signed=Signed(by=key.name, keyid=key.keyid, dev=key.dev or statement["predicate"]["signer"]["dev"]),
    )


def check_grant_time(grant: Grant, now: datetime) -> None:
    """Refuse a grant that is expired or not valid yet.

    Raises:
        ReceiptError: Says since when, or from when.
    """
    if now >= grant.expires:
        raise ReceiptError(f"expired at {timestamp(grant.expires)}", where=grant.id, next_step="sign a new one")
    if grant.issued > now + CLOCK_SKEW:
        raise ReceiptError(
            f"not valid before {timestamp(grant.issued)}", where=grant.id, next_step="set the clocks of both machines"
        )


def grant_of(statement: Any) -> Grant:
    """The grant in a statement of the right shape; nothing is verified.

    Raises:
        ReceiptError: A field cannot be read.
    """
    try:
        predicate, subject = statement["predicate"], statement["subject"][0]
        digest = subject["digest"].get("sha256", "")
        issued, expires = moment_of(predicate["issued"]), moment_of(predicate["expires"])
        if statement["predicateType"] == APPROVAL:
            return Approval(
                id=predicate["id"],
                reason=predicate["reason"],
                step=predicate["step"],
                digest=digest,
                name=subject["name"],
                issued=issued,
                expires=expires,
            )
        return Exemption(
            id=predicate["id"],
            reason=predicate["reason"],
            rules=tuple(predicate["rules"]),
            gate=predicate["gate"],
            digest=digest,
            subject="" if digest else subject["name"],
            profiles=tuple(predicate["profiles"]),
            issued=issued,
            expires=expires,
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ReceiptError(f"it has another shape: {error}", where="predicate") from error


def _statement(grant: Grant, signer: ReceiptSigner) -> dict[str, Json]:
    name = grant.name if isinstance(grant, Approval) else grant.subject
    if isinstance(grant, Exemption) and grant.digest:
        name = f"sha256:{grant.digest}"
    digest = {"sha256": grant.digest} if grant.digest else {NAME_DIGEST: sha256(name.encode()).hexdigest()}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": digest}],
        "predicateType": grant.predicate_type,
        "predicate": grant.predicate() | {"signer": {"keyid": signer.keyid, "dev": signer.dev}},
    }


def _check_right(key: TrustedKey, grant: Grant) -> None:
    right = "exemptions" if isinstance(grant, Exemption) else "approvals"
    if not (key.exemptions if isinstance(grant, Exemption) else key.approvals):
        raise SignatureError(
            f"key {key.name!r} may not sign {right}",
            where=grant.id,
            next_step=f'let another key sign it, or put {{"{right}": true}} into {key.name}.json beside the key',
        )


def _check_lifetime(grant: Grant) -> None:
    if not grant.issued < grant.expires <= grant.issued + LONGEST:
        raise ReceiptError(
            f"it lives from {timestamp(grant.issued)} to {timestamp(grant.expires)}; {LONGEST.days} days are the most",
            where=grant.id,
            next_step="sign one that expires sooner",
        )


def _check_shape(statement: Any) -> None:
    kind = statement.get("predicateType") if isinstance(statement, dict) else None
    if kind not in {EXEMPTION, APPROVAL}:
        raise ReceiptError("it is neither an exemption nor an approval", where="predicateType")
    fault = next(iter(sorted(_validator(kind).iter_errors(statement), key=lambda e: len(e.absolute_path))), None)
    if fault is not None:
        where = "/".join(str(part) for part in fault.absolute_path) or "statement"
        raise ReceiptError(f"it has another shape: {fault.message[:200]}", where=where)
    subject = statement["subject"][0]
    expected = sha256(subject["name"].encode(errors="surrogatepass")).hexdigest()
    if subject["digest"].get(NAME_DIGEST, expected) != expected:
        raise ReceiptError("its subject's name is not the one that its digest is of", where="subject")


@cache
def _validator(kind: str) -> Validator:
    from jsonschema import Draft202012Validator

    name = {EXEMPTION: "exemption.json", APPROVAL: "approval.json"}[kind]
    schema: Any = json.loads((files("interlock.policies") / "schemas" / name).read_text(encoding="utf-8"))
    return Draft202012Validator(schema)
