"""The server engine for code that waits in an event loop, such as an Airflow trigger: the same meaning, `await` before.

`opa-python-client`'s async client knows no private CA, follows redirects and reads answers without end; so it gets a
session of ours, and each of its requests goes through `_ask` here.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import certifi
from opa_client.opa_async import AsyncOpaClient  # type: ignore[import-untyped]  # it ships no types

from interlock.gate.errors import InterlockError, PolicyError
from interlock.gate.values import Json
from interlock.policy.engine import Answer
from interlock.policy.engines.endpoint import Endpoint
from interlock.policy.engines.question import ANSWER_LIMIT, decoded, dotted_path, encoded, only_path, row_of
from interlock.policy.engines.server import DIGEST_SECONDS
from interlock.policy.engines.server_answers import (
    PARAMETERS,
    PAUSE_SECONDS,
    Asked,
    Said,
    Trouble,
    ad_hoc_refusal,
    check_content,
    check_status,
    no_contact,
    said_in,
    tls_failure,
    too_large,
    too_late,
    unreadable,
)

_CHUNK = 1 << 16


class AsyncServerEngine:
    """Asks an OPA server from an event loop; one connection pool for each process and loop.

    Args:
        endpoint: The server.
        expected_digest: Digest of the bundle that the settings name; an answer by another one is an error. Empty
            means that the server's bundle is the policy.
        decision_path: What is asked for to learn the server's bundle: whoever may decide there may ask for it.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        expected_digest: str = "",
        decision_path: str = "interlock.decision.result",
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        self._endpoint = endpoint
        self._expected = expected_digest
        self._decision_path = dotted_path(decision_path)
        self._answer_limit = answer_limit
        self._version = ""
        self._held: tuple[int, asyncio.AbstractEventLoop, _Client] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.close()

    @property
    def name(self) -> str:
        """As in receipts."""
        return "opa-server"

    @property
    def version(self) -> str:
        """OPA's version as the last answer said; empty before the first."""
        return self._version

    async def bundle_digest(self) -> str:
        """Ask the server by which bundle it decides now; empty when it does not say or does not answer."""
        seconds = min(self._endpoint.timeout, DIGEST_SECONDS)
        try:
            said = await self._ask(Asked(path=self._decision_path, document={}, seconds=seconds, retries=0))
        except InterlockError:
            return ""
        return said.answer.bundle_digest

    async def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        """As `interlock.policy.engines.server.ServerEngine.evaluate`.

        Raises:
            PolicyError: As there.
            SettingsError: As there.
        """
        return await self._evaluate(dotted_path(path), document)

    async def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        """As `interlock.policy.engines.server.ServerEngine.query`.

        Raises:
            PolicyError: As there.
        """
        path = only_path(query)
        if path is None:
            raise ad_hoc_refusal(self._endpoint.base)
        answer = await self._evaluate(path, document)
        return [row_of(query, answer.value)] if answer.defined else []

    async def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        held, self._held = self._held, None
        if held is not None and held[:2] == (os.getpid(), asyncio.get_running_loop()):
            await held[2].close_connection()

    async def _evaluate(self, path: str, document: Json) -> Answer:
        seconds, retries = self._endpoint.timeout, self._endpoint.retries
        asked = Asked(path=path, document=document, seconds=seconds, retries=retries, expected=self._expected)
        said = await self._ask(asked)
        self._version = said.version or self._version
        return said.answer

    async def _ask(self, asked: Asked) -> Said:
        """One question, with its tries, in one deadline."""
        try:
            async with asyncio.timeout(asked.seconds):
                return await self._tries(asked)
        except TimeoutError as error:
            raise too_late(asked.seconds, self._endpoint.base) from error

    async def _tries(self, asked: Asked) -> Said:
        for number in range(asked.retries + 1):
            try:
                client = await self._client()
                found = await client.query_rule(
                    input_data=asked.document, package_path=asked.path, query_params=PARAMETERS
                )
                return said_in(found, expected=asked.expected, where=self._endpoint.base)
            except Trouble as trouble:
                if not trouble.again or number == asked.retries:
                    raise trouble.error from trouble
                await asyncio.sleep(PAUSE_SECONDS * 2**number)
        raise AssertionError("a try either returns or raises")

    async def _client(self) -> _Client:
        here = (os.getpid(), asyncio.get_running_loop())
        held = self._held
        if held is None or held[:2] != here:
            client = _Client(self._endpoint, self._answer_limit)
            await client._init_session()  # noqa: SLF001 - what `async with` does
            held = self._held = (*here, client)
        return held[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """A whole answer, in the shape that the client takes from `aiohttp`."""

    status: int
    content_type: str
    body: bytes
    where: str

    def raise_for_status(self) -> None:
        check_status(self.status, self.content_type, self.body, where=self.where)

    async def json(self) -> Json:
        if self.status == 200:
            check_content(self.content_type, where=self.where)
        return decoded(self.body)

    async def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class _Client(AsyncOpaClient):  # type: ignore[misc]  # it ships no types
    """An `AsyncOpaClient` of one endpoint, whose every request is bounded."""

    def __init__(self, endpoint: Endpoint, answer_limit: int) -> None:
        super().__init__(host=endpoint.host, port=endpoint.port, ssl=endpoint.scheme == "https", retries=0)
        self._endpoint = endpoint
        self._answer_limit = answer_limit

    async def _init_session(self) -> None:
        try:
            secured = tls_context(self._endpoint) if self._endpoint.scheme == "https" else True
        except ssl.SSLError as error:
            raise Trouble(tls_failure(error, self._endpoint.base), again=False) from error
        except OSError as error:
            named = (self._endpoint.ca_file, self._endpoint.client_cert, self._endpoint.client_key)
            text = f"{error.strerror}: one of {', '.join(path for path in named if path)}"
            raise Trouble(unreadable(OSError(text), self._endpoint.base), again=False) from error
        self._connector = aiohttp.TCPConnector(ssl=secured)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "interlock", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=self._endpoint.timeout),
        )

    @asynccontextmanager
    async def _request(self, method: str, url: str, **said: Any) -> AsyncIterator[Any]:
        yield await self._ask(method, url, said.pop("json", None), **said)

    async def _ask(self, method: str, url: str, document: Json, **said: Any) -> _Reply:
        where = self._endpoint.base
        headers = {"Authorization": f"Bearer {token}"} if (token := self._endpoint.bearer()) else {}
        if document is not None:
            said["data"] = encoded(document)
            headers["Content-Type"] = "application/json"
        session: Any = self._session
        try:
            async with session.request(method, url, headers=headers, allow_redirects=False, **said) as response:
                return _Reply(
                    status=response.status,
                    content_type=response.headers.get("Content-Type", ""),
                    body=await self._body(response),
                    where=where,
                )
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise Trouble(tls_failure(error, where), again=False) from error
        except aiohttp.ClientError as error:
            raise Trouble(no_contact(error, where), again=True) from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise PolicyError("OPA's answer is compressed, which was not asked for", where=self._endpoint.base)
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._answer_limit:
                raise too_large(self._endpoint.base)
        return bytes(body)


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """What the sync client does through `requests`: the private CA alone, or the public ones of `certifi`."""
    context = ssl.create_default_context(cafile=endpoint.ca_file or certifi.where())
    if endpoint.client_cert:
        # Without a password the ssl module would ask for one on the terminal.
        context.load_cert_chain(endpoint.client_cert, endpoint.client_key or None, password=lambda: b"")
    return context
