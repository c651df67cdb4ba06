"""A server of bundles on loopback, with a private CA, that can be made to misbehave in each way we know."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Misbehaviour = Callable[["Handler"], None]


@dataclass
class BundleServer:
    """What it serves, how it answers, and what it was asked.

    Args:
        url: Of the one bundle.
        content: Of the one bundle.
        misbehaviour: Answers instead; None answers as a good server does.
        token: The bearer token that it wants to see; empty for none.
        shown: The ``Authorization`` of each request, in order; empty for a request without.
        asked: The ``If-None-Match`` of each request, in order; empty for a request without.
        closing: Set at the end, for answers that take their time.
    """

    url: str = ""
    content: bytes = b""
    misbehaviour: Misbehaviour | None = None
    token: str = ""
    shown: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """GET of one bundle with an ETag."""

    protocol_version = "HTTP/1.1"
    state: BundleServer

    def do_GET(self) -> None:
        self.state.asked.append(self.headers.get("If-None-Match", ""))
        self.state.shown.append(self.headers.get("Authorization", ""))
        if self.state.misbehaviour is not None:
            self.state.misbehaviour(self)
            return
        if self.state.token and self.headers.get("Authorization") != f"Bearer {self.state.token}":
            self.say(401, b"who are you", {"WWW-Authenticate": "Bearer"})
            return
        etag = f'"{hashlib.sha256(self.state.content).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == etag:
            self.say(304, b"", {"ETag": etag})
        else:
            self.say(200, self.state.content, {"ETag": etag})

    def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server asks for)
        return


def answering(status: int, headers: dict[str, str] | None = None) -> Callable[[Handler], None]:
    return lambda handler: handler.say(status, b"no", headers or {})


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away in the middle here, on purpose."""


@contextmanager
def bundle_server(
    certificate: Path | None, *, content: bytes = b"", client_ca: Path | None = None
) -> Iterator[BundleServer]:
    """Serve on loopback until the end of the block; without a certificate over plain http.

    Args:
        certificate: The server's, with its key.
        content: Of the one bundle.
        client_ca: The CA of the client certificates that it wants to see. It speaks TLS 1.2 then: there the client
            hears in the handshake that it is refused, and not by chance after it.
    """
    state = BundleServer(content=content)
    server = _Server(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if client_ca is not None:
            context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(client_ca)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/policy/bundle.tar.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def make_authority(folder: Path) -> tuple[Path, Path]:
    """A private CA and what it signed for 127.0.0.1: the CA's certificate, and the server's with its key."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "private CA of a test")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bundles")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    root = _builder(issuer, issuer, authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    leaf = _builder(subject, issuer, key).add_extension(here, critical=False)
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    server_file.write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM) + private)
    return ca_file, server_file


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
