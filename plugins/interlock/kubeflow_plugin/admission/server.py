"""The webhook: HTTPS around a judge, with a bound on everything that somebody else decides.

It keeps nothing between two questions. Who may ask is for the network policy and, with `client_ca`, for TLS. A question
that cannot be answered in time gets no answer, which the API server takes for a refusal (``failurePolicy: Fail``).
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from interlock.gate import Json, SettingsError, UsageError

Answer = Callable[[bytes], dict[str, Json]]

PATH = "/admit"
HEALTH = "/healthz"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """How the webhook listens.

    Args:
        certificate: PEM of the certificate and its chain; read again when the file changes.
        key: PEM of its key.
        client_ca: PEM of the CA that signed the API server's client certificate; None lets everybody ask.
        host: Address to listen on.
        port: 0 for any free one.
        body_bytes: Most bytes of a question. The API server sends an object twice at an update, each at most 1.5 MiB in
            its store, more as JSON.
        seconds: Longest time for TLS, a question and its answer, each.
        at_once: Most questions at the same time; a further one is refused at once.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    host: str = "0.0.0.0"  # noqa: S104 (a pod's own address, of which nobody knows the number)
    port: int = 8443
    body_bytes: int = 8 * 1024 * 1024
    seconds: float = 8.0
    at_once: int = 32


class Webhook(ThreadingHTTPServer):
    """The server; use `serve_forever` and `shutdown`.

    Args:
        answer: Gives the answer to one question.
        options: How it listens.

    Raises:
        SettingsError: The certificate, its key or the CA cannot be used.
        UsageError: The address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answer, options: WebhookOptions) -> None:
        self.answer = answer
        self.options = options
        self._turns = threading.BoundedSemaphore(options.at_once)
        self._certificates = _Certificates(options)
        try:
            super().__init__((options.host, options.port), _Handler)
        except OSError as error:
            raise UsageError(f"cannot listen: {error.strerror}", where=f"{options.host}:{options.port}") from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Refuse what is too much before a thread is spent on it."""
        if not self._turns.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._turns.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """TLS here, and not where connections are taken: a client that is silent keeps nobody waiting."""
        try:
            request.settimeout(self.options.seconds)
            secured = self._certificates.context().wrap_socket(request, server_side=True)
        except (OSError, SettingsError):
            self.shutdown_request(request)
            self._turns.release()
            return
        # Each read has its time, and so has all of it: a client that sends a byte a second keeps no turn.
        end = threading.Timer(2 * self.options.seconds, _cut, (secured,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(secured, client_address)
        finally:
            end.cancel()
            self._turns.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""


def _cut(connection: ssl.SSLSocket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Certificates:
    """The server's certificate, read again when its file changes: whoever issues it renews it in place."""

    def __init__(self, options: WebhookOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._context = self._read()

    def context(self) -> ssl.SSLContext:
        with self._lock:
            with suppress(SettingsError, OSError):  # half renewed; what was read before still stands for itself
                if self._stamps() != self._seen:
                    self._context = self._read()
            return self._context

    def _read(self) -> ssl.SSLContext:
        options = self._options
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            seen = self._stamps()
            context.load_cert_chain(options.certificate, options.key)
            if options.client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(options.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"the certificate cannot be used: {error}",
                where=str(options.certificate),
                next_step="give a PEM certificate and its key",
            ) from error
        self._seen = seen
        return context

    def _stamps(self) -> tuple[int, ...]:
        files = [self._options.certificate, self._options.key, self._options.client_ca]
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)


class _Handler(BaseHTTPRequestHandler):
    server: Webhook  # pyright: ignore[reportIncompatibleVariableOverride]  # what makes it is a Webhook
    server_version = "interlock"
    sys_version = ""

    def do_POST(self) -> None:
        """One question."""
        length = self._length()
        if self.path.partition("?")[0] != PATH:
            self._say(404, {"message": f"ask at {PATH}"})
        elif not self.headers.get("Content-Type", "").startswith("application/json"):
            self._say(415, {"message": "send application/json"})
        elif length is None:
            self._say(411, {"message": "send a length"})
        elif length > self.server.options.body_bytes:
            self._say(413, {"message": "the review is too large"})
        else:
            body = self.rfile.read(length)
            if len(body) == length:
                self._say(200, self.server.answer(body))

    def do_GET(self) -> None:
        """Whether it runs."""
        healthy = self.path == HEALTH
        self._say(200 if healthy else 404, {"message": "ok" if healthy else "nothing is here"})

    def _length(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None

    def _say(self, status: int, document: dict[str, Json]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
        """Decisions are logged by the decision log, not by lines of HTTP."""
