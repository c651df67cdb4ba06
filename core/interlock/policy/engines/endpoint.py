"""Where an OPA server is and how it is trusted: checked once, the same for both clients and for a connection.

A bearer token goes to this server alone and never over plain http to another machine.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from interlock.gate.errors import SettingsError
from interlock.gate.settings import Settings

OPA_PORT = 8181
TIMEOUT_SECONDS = 5.0
RETRIES = 2
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An OPA server, and what is shown to it.

    Args:
        scheme: ``https`` or ``http``.
        host: Name or address; an IPv6 address in brackets.
        port: TCP port.
        token: Bearer token; empty for none.
        token_file: File that holds it, read again for each question, so that it may be rotated.
        ca_file: PEM of the private CA of its certificate; empty means the public ones.
        client_cert: PEM of the certificate that is shown to it.
        client_key: PEM of the key to that certificate; empty when it lies in the same file.
        timeout: Seconds that one question may take, from the first packet to the last, all tries together.
        retries: How often a question is asked again.
    """

    scheme: str
    host: str
    port: int
    token: str = field(default="", repr=False)
    token_file: str = ""
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    timeout: float = TIMEOUT_SECONDS
    retries: int = RETRIES

    def __post_init__(self) -> None:
        if (self.token or self.token_file) and self.scheme == "http" and not is_loopback(self.host):
            raise SettingsError("a bearer token would travel unencrypted", where=self.base, next_step="use https://")
        if self.token and not _TOKEN.match(self.token):
            raise SettingsError("the bearer token has characters that no token has", where=self.base)
        if self.client_key and not self.client_cert:
            raise SettingsError("a client key without its certificate", where=self.client_key)

    @property
    def base(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def certificate(self) -> str | tuple[str, str] | None:
        """The client certificate as `requests` wants it."""
        if not self.client_cert:
            return None
        return (self.client_cert, self.client_key) if self.client_key else self.client_cert

    def bearer(self) -> str:
        """The token as it is now; empty for none.

        Raises:
            SettingsError: The token's file cannot be read, or holds no token.
        """
        if not self.token_file:
            return self.token
        try:
            token = Path(self.token_file).expanduser().read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(f"the token for OPA cannot be read: {reason}", where=self.token_file) from error
        if not _TOKEN.match(token):
            raise SettingsError("the file holds no bearer token", where=self.token_file, next_step="write one line")
        return token


def endpoint_of(settings: Settings) -> Endpoint:
    """The server that the settings name.

    Raises:
        SettingsError: They name none, or one that cannot be used.
    """
    if not settings.opa_url:
        raise SettingsError(
            "the settings name no OPA server", where="opa_url", next_step="write https://opa.example:8181 into it"
        )
    scheme, host, port = parse_address(settings.opa_url, where="opa_url")
    return Endpoint(
        scheme=scheme,
        host=host,
        port=port,
        token_file=settings.opa_token_file,
        ca_file=settings.opa_ca_file,
        client_cert=settings.opa_client_cert,
        client_key=settings.opa_client_key,
        timeout=settings.engine_deadline,
        retries=settings.opa_retries,
    )


def parse_address(said: str, *, where: str, port: int | None = None) -> tuple[str, str, int]:
    """Scheme, host and port of a server's address; without a scheme it means https.

    Args:
        said: URL, or host with or without port.
        where: Whose words these are, for the error.
        port: Said apart; wins over the one in the URL.

    Raises:
        SettingsError: It is no address of a server, or says more than where it is.
    """
    said = said.strip()
    try:
        parts = urlsplit(said if "://" in said else f"https://{said}")
        port = port or parts.port or OPA_PORT
    except ValueError as error:
        raise SettingsError(f"the OPA server's address cannot be read: {error}", where=where) from error
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host:
        raise SettingsError(
            f"{said!r} is no address of an OPA server", where=where, next_step="use https://<host>:<port>"
        )
    if parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(
            "an OPA server's address is scheme, host and port only", where=where, next_step="leave the rest out"
        )
    if ":" in host:
        host = f"[{host}]"
    elif not _HOST.match(host):
        raise SettingsError(f"{host!r} is no host name", where=where, next_step="use https://<host>:<port>")
    return parts.scheme, host, port


def is_loopback(host: str) -> bool:
    """Whether it is this machine by its very name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
