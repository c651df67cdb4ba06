"""`opa-python-client`, shut in: one server, one deadline over the whole exchange, a limit on what it may say.

The client's own ways are kept (URLs, parameters, parsing of answers); what it lacks is put under it, in the session
that it asks through: no redirect, no proxy, no login of the environment, no cookie, no compression. A timeout of
`requests` bounds the gap between two packets, so that a server which drips holds a caller for ever; here each exchange
runs in a thread of its own, and at the deadline its socket is shut down.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
from opa_client.opa import OpaClient  # type: ignore[import-untyped]  # it ships no types
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from interlock.gate.errors import PolicyError
from interlock.policy.engines.endpoint import Endpoint
from interlock.policy.engines.question import ANSWER_LIMIT, decoded, encoded
from interlock.policy.engines.server_answers import check_content, too_large

T = TypeVar("T")
_CHUNK = 1 << 16
_BEHIND = 1.0  # seconds that a socket's own timeout comes after the deadline, which then says what happened


class Exchange:
    """What one thread says to one server until a moment; ended from another thread.

    Args:
        seconds: Until that moment.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._wire: socket.socket | None = None
        self._over = False

    @property
    def left(self) -> float:
        """Seconds left, never below a thousandth: a timeout of nothing would mean none."""
        return max(0.001, self._until - time.monotonic())

    def uses(self, wire: socket.socket | None) -> None:
        """Say which socket is spoken through now; `http.client` forgets it before the answer is read."""
        with self._lock:
            if self._over:
                raise TimeoutError("the deadline has passed")
            self._wire = wire

    def finish(self) -> None:
        """The socket is free for another exchange; `abort` does nothing from now on."""
        with self._lock:
            self._wire, self._over = None, True

    def abort(self) -> None:
        """Shut the socket down, so that the thread which reads from it wakes up."""
        with self._lock:
            self._over = True
            if self._wire is not None:
                with contextlib.suppress(OSError):
                    # A TLS socket's own `shutdown` would free what the other thread is using.
                    socket.socket.shutdown(self._wire, socket.SHUT_RDWR)


_current = threading.local()


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do `work`, which may use any `GuardedClient`, in a thread of its own, and wait no longer than `seconds`.

    Raises:
        TimeoutError: It did not end in time.
    """
    exchange = Exchange(seconds)
    outcome: Future[T] = Future()

    def run() -> None:
        _current.exchange = exchange
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            outcome.set_exception(error)
        finally:
            exchange.finish()

    threading.Thread(target=run, name="interlock-opa", daemon=True).start()
    try:
        return outcome.result(timeout=seconds)
    finally:
        exchange.abort()


class GuardedClient(OpaClient):  # type: ignore[misc]  # it ships no types
    """An `OpaClient` of one endpoint.

    Args:
        endpoint: The server.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(self, endpoint: Endpoint, *, answer_limit: int = ANSWER_LIMIT) -> None:
        self._endpoint = endpoint
        self._answer_limit = answer_limit
        super().__init__(
            host=endpoint.host,
            port=endpoint.port,
            # The client's `ssl` says https, and becomes the session's `verify`: True, or the path of a private CA.
            ssl=(endpoint.ca_file or True) if endpoint.scheme == "https" else False,
            cert=endpoint.certificate,
            retries=0,
            timeout=endpoint.timeout,
        )

    def _init_session(self) -> GuardedSession:
        return GuardedSession(self._endpoint, answer_limit=self._answer_limit)

    def update_policy_from_string(
        self,
        new_policy: str,
        endpoint: str,
        rego_compat: bool = False,  # noqa: FBT001, FBT002 - the client's own signature
    ) -> bool:
        """Upload a policy as it is: the client's `rego_compat` would rewrite a refused one by regular expressions."""
        if rego_compat:
            raise PolicyError("a policy is uploaded as it is written", next_step="run `opa fmt --v0-v1` on it")
        return bool(super().update_policy_from_string(new_policy, endpoint, rego_compat=False))


class GuardedSession(requests.Session):
    """What the client asks through.

    Args:
        endpoint: The only server that is talked to.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(self, endpoint: Endpoint, *, answer_limit: int = ANSWER_LIMIT) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._answer_limit = answer_limit
        self.trust_env = False  # no proxy, no .netrc login in place of the token, no CA of the environment
        self.max_redirects = 0
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.verify = endpoint.ca_file or True
        self.cert = endpoint.certificate
        self.headers.update({"User-Agent": "interlock", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(max_retries=0))

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **said: Any) -> requests.Response:
        """As `requests.Session.request`, bounded in time and size."""
        exchange: Exchange | None = getattr(_current, "exchange", None)
        if exchange is not None:
            return self._bounded(exchange, method, url, *args, **said)
        seconds = float(said.get("timeout") or self._endpoint.timeout)
        try:
            return within(seconds, lambda: self.request(method, url, *args, **said))
        except TimeoutError as error:
            raise requests.Timeout(f"no complete answer within {seconds:g} seconds") from error

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - overrides
        """None, ever: even a redirect that is not followed would be prepared, and its body read without a limit."""
        return

    def _bounded(self, exchange: Exchange, method: Any, url: Any, *args: Any, **said: Any) -> requests.Response:
        document = said.pop("json", None)
        headers = dict(said.pop("headers", None) or {})
        if document is not None:
            said["data"] = encoded(document)
            headers["Content-Type"] = "application/json"
        token = self._endpoint.bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        said |= {"headers": headers, "timeout": exchange.left + _BEHIND, "stream": True, "allow_redirects": False}
        response = super().request(method, url, *args, **said)
        try:
            response._content = self._body(response)  # noqa: SLF001 - no public way to read with a limit and keep it
            response._content_consumed = True  # noqa: SLF001
        except BaseException:
            response.close()
            raise
        return response

    def _body(self, response: requests.Response) -> bytes:
        where = self._endpoint.base
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise PolicyError("OPA's answer is compressed, which was not asked for", where=where)
        body = bytearray()
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > self._answer_limit:
                raise too_large(where)
        return bytes(body)


class _Response(requests.Response):
    """An answer whose JSON has no NaN and no endless nesting, and whose redirect is no success."""

    def json(self, **_kwargs: Any) -> Any:
        if self.status_code == 200:
            check_content(self.headers.get("Content-Type", ""), where=self.url)
        return decoded(self.content)

    def raise_for_status(self) -> None:
        super().raise_for_status()
        if not 200 <= self.status_code < 300:
            raise requests.HTTPError(f"{self.status_code} {self.reason}", response=self)


class _PlainConnection(HTTPConnection):
    """A connection that tells the exchange of its thread which socket is in use."""

    def connect(self) -> None:
        self._tell()
        super().connect()
        self._tell()

    def request(self, *args: Any, **said: Any) -> None:
        self._tell()
        super().request(*args, **said)

    def _tell(self) -> None:
        exchange: Exchange | None = getattr(_current, "exchange", None)
        if exchange is not None:
            exchange.uses(self.sock)


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same with TLS: between it and the plain one's base stands `HTTPSConnection`."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection  # pyright: ignore[reportAssignmentType]  # its own class does not fit either


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType]  # as above


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **said: Any) -> None:
        super().init_poolmanager(*args, **said)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def build_response(self, *args: Any, **said: Any) -> requests.Response:
        response = super().build_response(*args, **said)
        response.__class__ = _Response
        return response
