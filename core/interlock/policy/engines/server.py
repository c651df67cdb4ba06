"""The server engine: an OPA that somebody else runs, asked over its REST API through `opa-python-client`.

Its bundle is the policy. Which one that is, it says with each answer: the digest in the bundle's revision.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interlock.gate.errors import InterlockError, MissingExtraError
from interlock.gate.values import Json
from interlock.policy.engine import Answer
from interlock.policy.engines.endpoint import Endpoint
from interlock.policy.engines.question import ANSWER_LIMIT, dotted_path, only_path, row_of
from interlock.policy.engines.server_answers import (
    PARAMETERS,
    PAUSE_SECONDS,
    Asked,
    Said,
    Trouble,
    ad_hoc_refusal,
    check_status,
    no_contact,
    said_in,
    tls_failure,
    too_late,
    unreadable,
)

if TYPE_CHECKING:
    from interlock.policy.engines.server_client import GuardedClient

DIGEST_SECONDS = 2.0
"""How long the server may take to say which bundle it has, when nothing else is asked."""


class ServerEngine:
    """Asks an OPA server; thread safe, and safe over `os.fork`: each process has its own connections.

    Args:
        endpoint: The server.
        expected_digest: Digest of the bundle that the settings name; an answer by another one is an error. Empty
            means that the server's bundle is the policy.
        decision_path: What is asked for to learn the server's bundle: whoever may decide there may ask for it.
        answer_limit: Bytes that one answer may have.

    Raises:
        MissingExtraError: opa-python-client is not installed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        expected_digest: str = "",
        decision_path: str = "interlock.decision.result",
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        require_client()
        self._endpoint = endpoint
        self._expected = expected_digest
        self._decision_path = dotted_path(decision_path)
        self._answer_limit = answer_limit
        self._version = ""
        self._held: tuple[int, GuardedClient] | None = None

    @property
    def name(self) -> str:
        """As in receipts."""
        return "opa-server"

    @property
    def version(self) -> str:
        """OPA's version as the last answer said; empty before the first."""
        return self._version

    @property
    def endpoint(self) -> Endpoint:
        """The server that is asked."""
        return self._endpoint

    @property
    def bundle_digest(self) -> str:
        """Asks the server by which bundle it decides now; empty when it does not say or does not answer."""
        seconds = min(self._endpoint.timeout, DIGEST_SECONDS)
        try:
            return self._ask(
                Asked(path=self._decision_path, document={}, seconds=seconds, retries=0)
            ).answer.bundle_digest
        except InterlockError:
            return ""

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        """Ask for the document at ``data.<path>``; see `interlock.policy.engine.PolicyEngine`.

        Raises:
            PolicyError: As the protocol says.
            SettingsError: The token's file, the CA's or the client certificate's cannot be read.
        """
        return self._evaluate(dotted_path(path), document)

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        """Ask for one path; the result set in the form of ``opa eval``.

        Args:
            query: A path such as ``data.a.b``. A server answers other queries without strict builtin errors.
            document: What is read as ``input``.

        Raises:
            PolicyError: As `evaluate`, and for any other query.
        """
        path = only_path(query)
        if path is None:
            raise ad_hoc_refusal(self._endpoint.base)
        answer = self._evaluate(path, document)
        return [row_of(query, answer.value)] if answer.defined else []

    def is_healthy(self) -> bool:
        """Whether the server calls itself healthy, its bundles included."""
        from interlock.policy.engines.server_client import within

        client = self._client()
        try:
            return within(self._endpoint.timeout, lambda: bool(client.check_health(query={"bundles": True})))
        except TimeoutError:
            return False

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        held, self._held = self._held, None
        if held is not None and held[0] == os.getpid():
            held[1].close_connection()

    def _evaluate(self, path: str, document: Json) -> Answer:
        seconds, retries = self._endpoint.timeout, self._endpoint.retries
        asked = Asked(path=path, document=document, seconds=seconds, retries=retries, expected=self._expected)
        said = self._ask(asked)
        self._version = said.version or self._version
        return said.answer

    def _ask(self, asked: Asked) -> Said:
        """One question, with its tries, in one deadline."""
        from interlock.policy.engines.server_client import within

        client = self._client()
        try:
            return within(asked.seconds, lambda: self._tries(client, asked))
        except TimeoutError as error:
            raise too_late(asked.seconds, self._endpoint.base) from error

    def _tries(self, client: GuardedClient, asked: Asked) -> Said:
        until = time.monotonic() + asked.seconds
        for number in range(asked.retries + 1):
            try:
                found = self._try(client, asked)
                return said_in(found, expected=asked.expected, where=self._endpoint.base)
            except Trouble as trouble:
                pause = PAUSE_SECONDS * 2**number
                if not trouble.again or number == asked.retries or time.monotonic() + pause > until:
                    raise trouble.error from trouble
                time.sleep(pause)
        raise AssertionError("a try either returns or raises")

    def _try(self, client: GuardedClient, asked: Asked) -> Json:
        import requests
        from urllib3.exceptions import HTTPError

        where = self._endpoint.base
        try:
            found: Json = client.query_rule(input_data=asked.document, package_path=asked.path, query_params=PARAMETERS)
        except requests.HTTPError as error:
            if (reply := error.response) is not None:
                check_status(reply.status_code, reply.headers.get("Content-Type", ""), reply.content, where=where)
            raise
        except requests.exceptions.SSLError as error:
            raise Trouble(tls_failure(error, where), again=False) from error
        except (requests.RequestException, HTTPError) as error:
            raise Trouble(no_contact(error, where), again=True) from error
        except OSError as error:  # requests names a CA or certificate file that is not there in this way
            raise Trouble(unreadable(error, where), again=False) from error
        return found

    def _client(self) -> GuardedClient:
        """This process's client; without a lock, which a fork might copy held. A second one made by chance is lost."""
        held = self._held
        if held is None or held[0] != os.getpid():
            from interlock.policy.engines.server_client import GuardedClient

            held = self._held = (os.getpid(), GuardedClient(self._endpoint, answer_limit=self._answer_limit))
        return held[1]


def require_client() -> None:
    """Say at once, and not at the first question, that the client is missing.

    Raises:
        MissingExtraError: opa-python-client is not installed.
    """
    try:
        import opa_client.opa  # type: ignore[import-untyped]  # noqa: F401  # it ships no types
    except ModuleNotFoundError as error:
        raise MissingExtraError("opa-python-client", extra="opa") from error
