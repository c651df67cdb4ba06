"""Fetching a bundle from ``https://`` or ``s3://``: no redirects, a size limit, and one deadline for all of it.

Proxies come from the environment, as everywhere, and see nothing of TLS. `interlock.policy.bundles.access` says what
the server is shown and names a private CA; without one ``SSL_CERT_FILE`` counts, OpenSSL's own variable. For ``s3://``
the identity is that of the environment, as botocore finds it. No message repeats the words of a server: it knows the
token and the URL's query, and may say them back.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from interlock.gate.errors import MissingExtraError, PolicyError, SettingsError, UnavailableError
from interlock.policy.bundles.access import NOTHING_SHOWN, Access
from interlock.policy.bundles.files import MAX_BYTES

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.error import HTTPError
    from urllib.request import OpenerDirector

DEADLINE = 20.0
"""Seconds for one fetch: finding the server, asking it, and reading all of the answer."""

_ETAG_CHARACTERS = 1024
_MAY_PASS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_UP_AGAIN = "check the bundle server; the next call asks it again"
_SHOWN = "check `policy_client_cert` and `policy_client_key`: it does not take the certificate, or misses one"
_ADMITTED = "check `policy_token_file` and `policy_client_cert`, and what this identity may read there"
_RIGHT_URL = "check the URL in settings `policy` and `policy_layers`, and the rights of this identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a server sent.

    Args:
        content: Unverified bytes.
        etag: What the server calls this version; empty where it gives it no name.
    """

    content: bytes
    etag: str


def shown_url(url: str) -> str:
    """A URL for messages: without the query, which may be what signs it."""
    front, asked, _ = url.partition("?")
    return f"{front}?..." if asked else front


def check_url(url: str) -> None:
    """Refuse what is not to be fetched.

    Raises:
        SettingsError: Another scheme, plain http to another machine, no host, or a password in the URL.
    """
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname or "", parts.username is not None or parts.password is not None
        parts.port  # noqa: B018 (reading it checks it)
    except ValueError as error:
        raise SettingsError(f"no URL of a bundle: {error}", where="policy", next_step=_RIGHT_URL) from error
    if secret:
        raise SettingsError(
            "a URL of a bundle holds no user name or password",
            where=f"{parts.scheme}://...@{host}",
            next_step="let the server know this machine in another way; URLs are shown in logs",
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError("a bundle is not fetched over plain http", where=shown_url(url), next_step="use https://")
    if parts.scheme not in {"https", "http", "s3"} or not host or parts.fragment:
        raise SettingsError(
            "no URL that a bundle can come from",
            where=shown_url(url),
            next_step="use https://HOST/PATH or s3://BUCKET/KEY",
        )


def fetch(url: str, *, etag: str = "", access: Access = NOTHING_SHOWN) -> Fetched | None:
    """Ask for a bundle.

    Args:
        url: One that `check_url` lets through, so that a token travels by TLS or stays on this machine.
        etag: That of the copy at hand; empty without one.
        access: What the server of an ``https://`` URL is shown; ``s3://`` has an identity of its own.

    Returns:
        What was sent, or None when the copy at hand is still the newest.

    Raises:
        UnavailableError: The server cannot be reached, does not prove who it is, errs, is too slow or breaks off.
        PolicyError: It answers, but not with a bundle: a redirect, a refusal, not found, too large.
        SettingsError: A file that `access` names cannot be used.
        MissingExtraError: s3fs is not installed.
    """
    if url.startswith("s3://"):
        return _within(DEADLINE, lambda: _from_s3(url, etag, DEADLINE), url)
    return _within(DEADLINE, lambda: _from_http(url, etag, access, DEADLINE), url)


def _from_http(url: str, etag: str, access: Access, deadline: float) -> Fetched | None:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    request = Request(url, headers={"Accept": "application/gzip", "User-Agent": "interlock"})  # noqa: S310 (see check_url)
    if etag:
        request.add_header("If-None-Match", etag)
    if token := access.bearer():
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    opener = _opener(urlsplit(url).hostname or "", access)
    try:
        with opener.open(request, timeout=deadline) as response:
            return _body(response, url)
    except HTTPError as error:
        with error:
            if error.code == HTTPStatus.NOT_MODIFIED and etag:
                return None
            _refuse_status(error, url)
    except URLError as error:
        if (alert := _alert(error.reason)) is not None:
            raise _ended(alert, url) from error
        raise _unavailable(f"the bundle server cannot be reached: {error.reason}", url) from error
    except HTTPException as error:
        raise _unavailable(f"the bundle server broke off: {type(error).__name__}", url) from error
    except OSError as error:
        if (alert := _alert(error)) is not None:
            raise _ended(alert, url) from error
        raise _unavailable(f"the bundle server broke off: {type(error).__name__}: {error}", url) from error


def _alert(error: object) -> str | None:
    """The TLS alert by which the server ended it (RFC 8446, section 6), in OpenSSL's words."""
    reason = str(getattr(error, "reason", None) or "")
    return reason.replace("_", " ").lower() if "_ALERT_" in reason else None


def _ended(alert: str, url: str) -> UnavailableError:
    return UnavailableError(f"the bundle server ends TLS: {alert}", where=shown_url(url), next_step=_SHOWN)


def _opener(host: str, access: Access) -> OpenerDirector:
    """Knows http and https and nothing else: no redirect is followed, no file is opened."""
    from urllib import request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler({} if _is_loopback(host) else None),
        request.HTTPHandler(),
        request.HTTPSHandler(context=access.tls()),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _body(response: HTTPResponse, url: str) -> Fetched:
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _too_large(url)
    said = response.headers.get("Content-Length")
    if response.status != HTTPStatus.OK:
        raise PolicyError(f"the bundle server answers {response.status}", where=shown_url(url), next_step=_RIGHT_URL)
    if said is not None and said.isdigit() and int(said) != len(content):
        raise _unavailable(f"the bundle server broke off after {len(content)} of {said} bytes", url)
    return Fetched(content=content, etag=response.headers.get("ETag", "")[:_ETAG_CHARACTERS])


def _refuse_status(error: HTTPError, url: str) -> NoReturn:
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _MAY_PASS:
        raise _unavailable(f"the bundle server answers {error.code}", url) from error
    if HTTPStatus.MULTIPLE_CHOICES <= error.code < HTTPStatus.BAD_REQUEST and error.code != HTTPStatus.NOT_MODIFIED:
        raise PolicyError(
            f"the bundle server redirects ({error.code}), which is not followed",
            where=shown_url(url),
            next_step="name the URL at which the bundle is",
        ) from error
    step = _ADMITTED if error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} else _RIGHT_URL
    raise PolicyError(f"the bundle server answers {error.code}", where=shown_url(url), next_step=step) from error


def _from_s3(url: str, etag: str, deadline: float) -> Fetched | None:
    from fsspec import filesystem  # type: ignore[import-untyped]  # no stubs are published

    wait = {"connect_timeout": deadline, "read_timeout": deadline, "retries": {"max_attempts": 1}}
    try:
        store: Any = filesystem("s3", use_listings_cache=False, skip_instance_cache=True, config_kwargs=wait)
        about = store.info(url)
        if etag and about.get("ETag") == etag:
            return None
        content: bytes | None = store.cat_file(url) if about["size"] <= MAX_BYTES else None
    except ImportError as error:
        raise MissingExtraError("s3fs", extra="s3") from error
    except (FileNotFoundError, PermissionError) as error:
        raise PolicyError(f"the store gives no bundle: {error}", where=shown_url(url), next_step=_RIGHT_URL) from error
    except Exception as error:
        # The plug-in boundary: botocore and aiohttp raise families of their own.
        raise _unavailable(f"the store cannot be reached: {type(error).__name__}: {error}", url) from error
    if content is None:
        raise _too_large(url)
    return Fetched(content=content, etag=str(about.get("ETag", ""))[:_ETAG_CHARACTERS])


def _within(seconds: float, work: Callable[[], Fetched | None], url: str) -> Fetched | None:
    """Do `work`, but wait no longer: names that do not resolve and bytes that trickle know no timeout of their own."""
    answers: list[Fetched | None] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again by who waits)
            errors.append(error)

    thread = threading.Thread(target=run, name="interlock-bundle-fetch", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise _unavailable(f"the bundle server took longer than {seconds:g} s", url)
    return answers[0]


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _unavailable(what: str, url: str) -> UnavailableError:
    return UnavailableError(what, where=shown_url(url), next_step=_UP_AGAIN)


def _too_large(url: str) -> PolicyError:
    return PolicyError(f"the bundle is larger than {MAX_BYTES} bytes", where=shown_url(url), next_step=_RIGHT_URL)
