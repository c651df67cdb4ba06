"""What a bundle server is shown and by which authority it is believed, read anew for each fetch: files may be rotated.

A token and a client certificate are for one server. The files with the secrets in them are readable by their owner
alone, and what they hold is in no message.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from interlock.gate.errors import SettingsError
from interlock.gate.settings import Settings

if TYPE_CHECKING:
    from ssl import SSLContext

_TOKEN = re.compile(rb"[\x21-\x7e]+\Z")
_MAX_BYTES = 65_536
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the credentials for a bundle server lie.

    Args:
        token_file: Bearer token; empty for none.
        ca_file: PEM of the private CA of its certificate; empty means those of the machine.
        client_cert: PEM of the certificate that is shown to it; empty for none.
        client_key: PEM of the key to that certificate; empty when it lies in the same file.
    """

    token_file: str = ""
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""

    def bearer(self) -> str:
        """The token as it is now; empty for none.

        Raises:
            SettingsError: Its file cannot be read, others can read it, or it holds no token.
        """
        if not self.token_file:
            return ""
        setting = "policy_token_file"
        token = _secret(self.token_file, "the token for the bundle server", setting=setting).strip()
        if not _TOKEN.match(token):
            raise SettingsError(
                "the file holds no bearer token",
                where=self.token_file,
                next_step=f"write one line into it, or unset `{setting}`",
            )
        return token.decode("ascii")

    def tls(self) -> SSLContext:
        """What TLS is spoken with.

        Raises:
            SettingsError: A file cannot be read, others can read the key, or certificate and key do not fit.
        """
        import ssl

        ca_file = str(Path(self.ca_file).expanduser()) if self.ca_file else None
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            if ca_file is None:
                raise
            raise _unusable("the CA of the bundle server", error, ca_file, setting="policy_ca_file") from error
        if not self.client_cert:
            return context
        setting = "policy_client_key" if self.client_key else "policy_client_cert"
        cert, key = Path(self.client_cert).expanduser(), Path(self.client_key or self.client_cert).expanduser()
        _secret(str(key), "the key for the bundle server", setting=setting)
        try:
            context.load_cert_chain(cert, key, password=lambda: "")  # else OpenSSL would ask on the terminal
        except OSError as error:
            what = "the client certificate for the bundle server"
            raise _unusable(what, error, str(cert), setting="policy_client_cert") from error
        return context


NOTHING_SHOWN = Access()
"""For a server that lets everybody read."""


def access_of(settings: Settings, urls: Iterable[str]) -> Access:
    """What the settings say of the server of bundles; no file is read yet.

    Args:
        settings: Which files.
        urls: Every URL that they name a bundle by.

    Raises:
        SettingsError: A key without its certificate, or credentials that two servers would get to see.
    """
    if settings.policy_client_key and not settings.policy_client_cert:
        raise SettingsError(
            "a client key without its certificate", where="policy_client_key", next_step="set `policy_client_cert` too"
        )
    servers = sorted({_server_of(url) for url in urls if not url.startswith("s3://")})
    secret = "policy_token_file" if settings.policy_token_file else "policy_client_cert"
    if (settings.policy_token_file or settings.policy_client_cert) and len(servers) > 1:
        raise SettingsError(
            f"the credentials for one bundle server would go to {' and '.join(servers)}",
            where=secret,
            next_step="serve all bundles from one server, or name the others by a folder, a .tar.gz or s3://",
        )
    return Access(
        token_file=settings.policy_token_file,
        ca_file=settings.policy_ca_file,
        client_cert=settings.policy_client_cert,
        client_key=settings.policy_client_key,
    )


def _server_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def _secret(place: str, what: str, *, setting: str) -> bytes:
    """The bytes of a file that its owner alone can read."""
    path = Path(place).expanduser()
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:  # a pipe hangs
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(_MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise _unusable(what, error, place, setting=setting) from error
    if not stat.S_ISREG(mode) or len(content) > _MAX_BYTES:
        raise SettingsError(
            f"{what} is no file of at most {_MAX_BYTES} bytes", where=place, next_step=f"check setting `{setting}`"
        )
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"others can read {what}", where=place, next_step=f"chmod 600 {place}, and change it")
    return content


def _unusable(what: str, error: OSError, place: str, *, setting: str) -> SettingsError:
    reason = getattr(error, "reason", None)  # an SSLError's `strerror` names a line of OpenSSL
    why = str(reason).replace("_", " ").lower() if reason else error.strerror
    return SettingsError(
        f"{what} cannot be used: {why}", where=place, next_step=f"check setting `{setting}` and the rights of the file"
    )
