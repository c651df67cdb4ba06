"""Hooks behind the connection types ``interlock`` and ``opa``: where the ledger is, and where an OPA server is.

A connection says only *where*. Profile, keys, policy and strictness are never read from one: whoever may edit a
connection, or name another one in a DAG file, must not be able to say how strictly a step is checked. They come from
`interlock.gate.Settings`, which the deployment sets.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from interlock.gate.errors import InterlockError, MissingExtraError, UnavailableError, UsageError

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from opa_client.opa import OpaClient  # type: ignore[import-untyped]  # it ships no types

    from interlock.gate import Settings

DECISION_PACKAGE, DECISION_RULE = "interlock.decision", "result"
TIMEOUT_SECONDS = 5.0
OPA_PORT = 8181


class InterlockHook(BaseHook):
    """Says where the ledger is.

    The connection's fields: host is the ledger's SQLAlchemy URL; login and password are put into it; the extra
    ``noted_head`` is the head that a test showed earlier.

    Args:
        interlock_conn_id: Connection of type ``interlock``.
    """

    conn_name_attr = "interlock_conn_id"
    default_conn_name = "interlock_default"
    conn_type = "interlock"
    hook_name = "Interlock ledger"

    def __init__(self, interlock_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.interlock_conn_id = interlock_conn_id

    @classmethod
    def settings_for(cls, conn_id: str | None) -> Settings:
        """The deployment's settings; a connection fills in the ledger where they name none.

        Raises:
            SettingsError: The settings cannot be read.
            UsageError: The connection names no ledger.
        """
        if conn_id is not None:
            return cls(conn_id).get_conn()
        from interlock.gate import Settings

        return Settings.load()

    def get_conn(self) -> Settings:
        """As `settings_for` with this hook's connection."""
        from interlock.gate import Settings

        return Settings.load(ledger_fallback=_ledger_url(self.get_connection(self.interlock_conn_id)))

    def test_connection(self) -> tuple[bool, str]:
        """Open the ledger that a task with this connection would use, and walk its whole chain."""
        from sqlalchemy import make_url

        try:
            connection = self.get_connection(self.interlock_conn_id)
            named = _ledger_url(connection)
            settings = self.get_conn()
            head = _verified_head(settings.ledger_url, str(connection.extra_dejson.get("noted_head") or ""))
        except InterlockError as error:
            return False, str(error)
        where = make_url(settings.ledger_url).render_as_string(hide_password=True)
        entries, link = head.split(":", 1)
        message = f"The chain of {entries} receipts at {where} verifies. Head, to be noted: {entries}:{link}"
        if settings.ledger_url != named:
            message += ". The deployment's own settings name this ledger, so the one of the connection is not used"
        return True, message


class OpaHook(BaseHook):
    """Connects to an OPA server.

    The connection's fields: host is its URL or host name, port, password is the bearer token; extras ``ca_file``,
    ``client_cert``, ``client_key`` (paths of PEM files on the machine that connects) and ``timeout`` (seconds).

    A host without a scheme means https. A token is never sent over plain http to another machine. Proxies and
    ``.netrc`` of the environment are not used, and redirects are not followed: nothing but that OPA is talked to.

    Args:
        opa_conn_id: Connection of type ``opa``.
    """

    conn_name_attr = "opa_conn_id"
    default_conn_name = "opa_default"
    conn_type = "opa"
    hook_name = "Open Policy Agent"

    def __init__(self, opa_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.opa_conn_id = opa_conn_id

    def get_conn(self) -> OpaClient:
        """A client; close it with ``close_connection()`` or use it in ``with``.

        Raises:
            MissingExtraError: opa-python-client is not installed.
            UsageError: The connection's host, port, timeout or files cannot be used.
        """
        try:
            from opa_client.opa import OpaClient
        except ModuleNotFoundError as error:
            raise MissingExtraError("opa-python-client", extra="opa") from error
        connection = self.get_connection(self.opa_conn_id)
        extra = connection.extra_dejson
        scheme, host, port = _place(connection)
        token = connection.password or ""
        if token and scheme == "http" and not _is_loopback(host):
            raise UsageError(
                "a bearer token would travel unencrypted", where=f"http://{host}:{port}", next_step="use https://"
            )
        certificate = tuple(str(extra[name]) for name in ("client_cert", "client_key") if extra.get(name))
        client = OpaClient(
            host=host,
            port=port,
            # The client's `ssl` becomes the session's `verify`: True, or the path of a private CA.
            ssl=(str(extra.get("ca_file") or "") or True) if scheme == "https" else False,
            cert=(certificate if len(certificate) == 2 else certificate[0]) if certificate else None,
            token=token or None,
            retries=0,
            timeout=_timeout(extra.get("timeout")),
        )
        # The client has no public way to say this: requests would take proxies and a .netrc login from the
        # environment, the latter in place of the token, and follow redirects to other servers.
        client._session.trust_env = False  # noqa: SLF001
        client._session.max_redirects = 0  # noqa: SLF001
        return client

    def test_connection(self) -> tuple[bool, str]:
        """Ask whether the server is healthy and answers Interlock's decision rule, with a document it must refuse."""
        try:
            with self.get_conn() as client:
                return True, _ask(client)
        except InterlockError as error:
            return False, str(error)


def _ledger_url(connection: Connection) -> str:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if not connection.host:
        raise UsageError(
            "the connection names no ledger",
            where=f"connection {connection.conn_id}",
            next_step="write a URL such as postgresql+pg8000://ledger.example:5432/interlock into its Ledger URL",
        )
    try:
        url = make_url(connection.host)
    except ArgumentError as error:
        raise UsageError("the ledger URL cannot be read", where=f"connection {connection.conn_id}") from error
    if connection.login:
        url = url.set(username=connection.login)
    if connection.password:
        url = url.set(password=connection.password)
    return url.render_as_string(hide_password=False)


def _verified_head(url: str, noted: str) -> str:
    from interlock.evidence import Ledger

    ledger = Ledger.open(url)
    try:
        return str(ledger.verify(noted or None))
    finally:
        ledger.close()


def _place(connection: Connection) -> tuple[str, str, int]:
    """Scheme, host and port of an OPA connection."""
    where = f"connection {connection.conn_id}"
    said = (connection.host or "").strip()
    if not said:
        raise UsageError("the connection names no OPA server", where=where, next_step="write https://opa.example:8181")
    try:
        parts = urlsplit(said if "://" in said else f"https://{said}")
        port = connection.port or parts.port or OPA_PORT
    except ValueError as error:
        raise UsageError(f"the OPA server's address cannot be read: {error}", where=where) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{said!r} is no address of an OPA server", where=where, next_step="use https://<host>:<port>")
    if parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(
            "an OPA server's address is scheme, host and port only", where=where, next_step="leave the rest out"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host, port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _timeout(said: object) -> float:
    if said in (None, ""):
        return TIMEOUT_SECONDS
    try:
        seconds = float(str(said))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise UsageError(f"the timeout is a number of seconds up to 600, not {said!r}", where="extra `timeout`")
    return seconds


def _root_of(error: BaseException) -> BaseException:
    """The error that the others only pass on: `Connection refused`, not the pool's account of its retries."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _ask(client: OpaClient) -> str:
    """What a test says when all is well.

    Raises:
        UnavailableError: The server does not answer, or says that it is not healthy.
        UsageError: It refuses us, has no Interlock policy, or has one that lets everything through.
    """
    import requests

    where = f"{client.schema}{client.host}:{client.port}"
    try:
        answer: Any = client.query_rule(input_data={}, package_path=DECISION_PACKAGE, rule_name=DECISION_RULE)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise UsageError(f"OPA refuses us ({status})", where=where, next_step="check the bearer token") from error
        raise UnavailableError(f"OPA answered {status}", where=where) from error
    except requests.RequestException as error:
        raise UnavailableError(f"OPA cannot be asked: {_root_of(error)}", where=where) from error
    except OSError as error:  # requests names a CA or certificate file that is not there in this way
        raise UsageError(f"OPA cannot be asked: {error}", where=where) from error
    if not client.check_health():
        raise UnavailableError("OPA answers, but says that it is not healthy", where=f"{where}/health")
    # An undefined rule is 200 with {}: not an answer.
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, dict) or not isinstance(result.get("allow"), bool):
        raise UsageError(
            f"OPA has no Interlock policy: data.{DECISION_PACKAGE}.{DECISION_RULE} is undefined or of another shape",
            where=where,
            next_step="load the bundle, for example opa run -s -b policies",
        )
    if result["allow"]:
        raise UsageError("the policy there allows an empty document, so it would allow anything", where=where)
    return f"OPA at {where} is healthy and answers data.{DECISION_PACKAGE}.{DECISION_RULE}"
