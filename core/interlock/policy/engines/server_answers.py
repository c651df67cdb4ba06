"""What OPA's REST API says, and what it means: the same for the sync and the async client. No network here.

An undefined rule is status 200 without a ``result``, an error of a policy is status 500, and so is a server in
trouble: only OPA's own account of the error tells them apart, and only the second is worth asking again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.gate.errors import InterlockError, PolicyError, SettingsError
from interlock.gate.values import Json
from interlock.policy.engine import Answer, EngineSilentError
from interlock.policy.engines.question import ANSWER_LIMIT, refusal, shown

PARAMETERS: dict[str, Any] = {"provenance": "true", "metrics": "true", "strict-builtin-errors": "true"}
"""Asked with each question: which bundle decides, OPA's timers, and that an error of a builtin is an error."""

PAUSE_SECONDS = 0.05
"""Before the second try; doubled before each further one."""

_PASSING = frozenset({429, 500, 502, 503, 504})
_REVISION = re.compile(r".*@sha256:([0-9a-f]{64})\Z", re.DOTALL)
_MAX_ID = 200
_AD_HOC = "use engine 'embedded' or 'binary' for it, or ask for one path such as data.a.b"


class Trouble(Exception):  # noqa: N818 - never leaves the two engines
    """One try failed.

    Args:
        error: What to tell whoever asked.
        again: Whether the next try may go better.
    """

    def __init__(self, error: InterlockError, *, again: bool) -> None:
        super().__init__(error)
        self.error = error
        self.again = again


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to a server.

    Args:
        path: Dotted, without ``data.``.
        document: What the rules read as ``input``.
        seconds: For all tries together.
        retries: Further tries after the first.
        expected: Digest that the settings' own bundle has; empty when the server's bundle is the policy.
    """

    path: str
    document: Any
    seconds: float
    retries: int
    expected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer with what the server told of itself.

    Args:
        answer: The answer.
        version: OPA's version; empty when it did not say.
    """

    answer: Answer
    version: str


def check_status(status: int, content_type: str, body: bytes, *, where: str) -> None:
    """Let nothing through but a complete answer.

    Args:
        status: Of HTTP.
        content_type: As the header says.
        body: Unverified bytes.
        where: The server, for people.

    Raises:
        Trouble: It is no answer.
    """
    if status == 200:
        check_content(content_type, where=where)
        return
    if status in (401, 403):
        step = "check the bearer token (opa_token_file) and the client certificate"
        raise Trouble(PolicyError(f"OPA refuses us ({status})", where=where, next_step=step), again=False)
    if 300 <= status < 400:
        what = f"OPA answered with a redirect ({status}), which is not followed"
        raise Trouble(PolicyError(what, where=where, next_step="name the server itself in opa_url"), again=False)
    message = _account(body)
    if message and status in (400, 500):
        raise Trouble(refusal(message, where=where), again=False)
    raise Trouble(
        PolicyError(f"OPA answered {status}: {message or shown(body) or 'nothing more'}", where=where),
        again=status in _PASSING,
    )


def check_content(content_type: str, *, where: str) -> None:
    """Take JSON only for an answer.

    Raises:
        PolicyError: It is something else, as a login page or a captive portal sends it.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        what = f"what answered is no OPA: it sent {content_type or 'no content type'} and not JSON"
        raise PolicyError(what, where=where, next_step="check the server's address")


def said_in(document: Json, *, expected: str, where: str) -> Said:
    """The answer in OPA's response document.

    Args:
        document: Unverified JSON.
        expected: Digest that the settings' own bundle has; empty when the server's bundle is the policy.
        where: The server, for people.

    Raises:
        PolicyError: It is no response document, or another bundle decided than the settings name.
    """
    if not isinstance(document, Mapping):
        raise PolicyError("OPA answered in another shape", where=where)
    provenance = document.get("provenance")
    provenance = provenance if isinstance(provenance, Mapping) else {}
    digest = _digest(provenance)
    if expected and digest and digest != expected:
        raise PolicyError(
            f"the OPA server decides by bundle {digest}, but the settings name a policy whose digest is {expected}",
            where=where,
            next_step="serve that bundle there, or leave `policy` empty to follow the server's own",
        )
    identity = document.get("decision_id")
    metrics = document.get("metrics")
    answer = Answer(
        defined="result" in document,
        value=document.get("result"),
        bundle_digest=digest,
        decision_id=identity if isinstance(identity, str) and len(identity) <= _MAX_ID else "",
        metrics={name: value for name, value in metrics.items() if type(value) is int}
        if isinstance(metrics, Mapping)
        else {},
    )
    version = provenance.get("version")
    return Said(answer=answer, version=version if isinstance(version, str) else "")


def tls_failure(error: BaseException, where: str) -> PolicyError:
    """Neither side could be sure of the other."""
    return PolicyError(
        f"TLS with OPA failed: {root_of(error)}",
        where=where,
        next_step="check the CA file, the name in the server's certificate, and the client certificate",
    )


def no_contact(error: BaseException, where: str) -> PolicyError:
    """Nobody answered, or not to the end."""
    return PolicyError(f"OPA cannot be asked: {root_of(error)}", where=where, next_step="look whether it runs there")


def unreadable(error: BaseException, where: str) -> SettingsError:
    """A file that the connection needs."""
    return SettingsError(f"OPA cannot be asked: {error}", where=where, next_step="check the CA and certificate files")


def root_of(error: BaseException) -> BaseException:
    """The error that the others only pass on: `Connection refused`, not the pool's account of its retries."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def too_large(where: str) -> PolicyError:
    """An answer over the limit."""
    return PolicyError(f"the policy engine's answer is larger than {ANSWER_LIMIT} bytes", where=where)


def too_late(seconds: float, where: str) -> PolicyError:
    """No complete answer in time."""
    return EngineSilentError(
        f"OPA did not answer within {seconds:g} seconds", where=where, next_step="look at the server, or at the policy"
    )


def ad_hoc_refusal(where: str) -> PolicyError:
    """Why a server is not asked free queries: its query API knows no strict builtin errors (tried on 1.20.2)."""
    return PolicyError(
        "an OPA server answers free queries as if a builtin that errs were undefined", where=where, next_step=_AD_HOC
    )


def _digest(provenance: Mapping[str, Json]) -> str:
    """The digest in the revision of the one bundle that the server has; empty when there are more, or no digest."""
    bundles = provenance.get("bundles")
    revisions: list[Json] = [provenance["revision"]] if provenance.get("revision") else []
    if isinstance(bundles, Mapping):
        revisions += [bundle.get("revision") if isinstance(bundle, Mapping) else None for bundle in bundles.values()]
    if len(revisions) != 1 or not isinstance(revisions[0], str):
        return ""
    found = _REVISION.match(revisions[0])
    return found.group(1) if found else ""


def _account(body: bytes) -> str:
    """OPA's own account of an error; empty when this is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, Mapping) or not isinstance(document.get("code"), str):
        return ""
    errors = document.get("errors")
    listed = [error for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    details = "; ".join(str(error["message"]) for error in listed if error.get("message"))
    return (details or str(document.get("message", document["code"])))[:1000]
