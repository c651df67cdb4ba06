"""A server on loopback that does what no OPA does: cuts off, drips, redirects, floods, says nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

Reply = bytes | Callable[[socket.socket], None]


class HostileServer:
    """Answers the n-th request with the n-th reply, and each further one with the last.

    Args:
        replies: Whole HTTP answers, or what to do with the connection.
        listens: Read the request before replying.
    """

    def __init__(self, *replies: Reply, listens: bool = True) -> None:
        self._replies: Sequence[Reply] = replies
        self._listens = listens
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.01)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._socket.getsockname()[1]
        self.requests: list[bytes] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=20)
        self._socket.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            self.requests.append(_request(connection) if self._listens else b"")
            reply = self._replies[min(len(self.requests), len(self._replies)) - 1]
            if isinstance(reply, bytes):
                connection.sendall(reply)
            else:
                reply(connection)


def _request(connection: socket.socket) -> bytes:
    said = b""
    while b"\r\n\r\n" not in said:
        said += connection.recv(65536)
    head, _, body = said.partition(b"\r\n\r\n")
    sizes = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while sizes and len(body) < int(sizes[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(
    body: bytes | object, *, status: str = "200 OK", kind: str = "application/json", headers: str = "", length: int = -1
) -> bytes:
    """One whole answer.

    Args:
        body: Bytes, or what becomes JSON.
        status: Status line.
        kind: Content type; empty for none.
        headers: Further header lines, each with its end.
        length: Said content length, where it is not the true one.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = f"Content-Type: {kind}\r\n" if kind else ""
    size = len(raw) if length < 0 else length
    head = f"HTTP/1.1 {status}\r\n{said}{headers}Content-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + raw


def drip(whole: bytes, *, seconds: float = 0.05, first: int = 0) -> Reply:
    """Send byte by byte, each before any timeout between two packets would notice."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(whole[:first])
        for byte in whole[first:]:
            connection.sendall(bytes([byte]))
            time.sleep(seconds)

    return reply


def silence(connection: socket.socket) -> None:
    """Say nothing until the other side goes."""
    while connection.recv(65536):
        pass


def hang_up(connection: socket.socket) -> None:
    """Close without an answer."""


def reset(connection: socket.socket) -> None:
    """Close with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def flood(connection: socket.socket) -> None:
    """A body without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")
