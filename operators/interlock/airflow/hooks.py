"""Hooks behind the connection types ``interlock`` and ``opa``: where the ledger is, and where an OPA server is.

A connection says only *where*. Profile, keys, policy and strictness are never read from one: whoever may edit a
connection, or name another one in a DAG file, must not be able to say how strictly a step is checked. They come from
`interlock.gate.Settings`, which the deployment sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.gate.errors import InterlockError, PolicyError, UnavailableError, UsageError

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from opa_client.opa import OpaClient  # type: ignore[import-untyped]  # it ships no types

    from interlock.gate import Settings
    from interlock.policy.engines.endpoint import Endpoint
    from interlock.policy.engines.server import ServerEngine
    from interlock.policy.engines.server_async import AsyncServerEngine

DECISION_PATH = "interlock.decision.result"
TIMEOUT_SECONDS = 5.0


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
    """Connects to an OPA server, as `interlock.policy.engines.server` does.

    The connection's fields: host is its URL or host name, port, password is the bearer token; extras ``ca_file``,
    ``client_cert``, ``client_key`` (paths of PEM files on the machine that connects), ``timeout`` (seconds for one
    question, all its tries together), ``retries`` (further tries) and ``decision_path`` (dotted, what a test of the
    connection asks for).

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
        """A client; close it with ``close_connection()`` or use it in ``with``. It asks each question once.

        Raises:
            MissingExtraError: opa-python-client is not installed.
            UsageError: The connection's host, port, timeout or files cannot be used.
        """
        from interlock.policy.engines.server import require_client

        require_client()
        from interlock.policy.engines.server_client import GuardedClient

        return GuardedClient(_endpoint(self.get_connection(self.opa_conn_id)))

    def get_engine(self) -> ServerEngine:
        """An engine over the server's own bundle, for tasks.

        Raises:
            MissingExtraError: opa-python-client is not installed.
            UsageError: As `get_conn`.
        """
        from interlock.policy.engines.server import ServerEngine

        connection = self.get_connection(self.opa_conn_id)
        return ServerEngine(_endpoint(connection), decision_path=_decision_path(connection))

    async def aget_engine(self) -> AsyncServerEngine:
        """The same for triggers, which may not block while they look the connection up.

        Raises:
            MissingExtraError: opa-python-client is not installed.
            UsageError: As `get_conn`.
        """
        from interlock.policy.engines.server import require_client

        require_client()
        from interlock.policy.engines.server_async import AsyncServerEngine

        connection = await self.aget_connection(self.opa_conn_id)
        return AsyncServerEngine(_endpoint(connection), decision_path=_decision_path(connection))

    def test_connection(self) -> tuple[bool, str]:
        """Ask whether the server is healthy and answers Interlock's decision rule, with a document it must refuse."""
        try:
            path = _decision_path(self.get_connection(self.opa_conn_id))
            engine = self.get_engine()
            try:
                return True, _ask(engine, path)
            finally:
                engine.close()
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


def _endpoint(connection: Connection) -> Endpoint:
    """Where an OPA connection leads, and how it is trusted."""
    from interlock.policy.engines.endpoint import Endpoint, parse_address

    where = f"connection {connection.conn_id}"
    if not (connection.host or "").strip():
        raise UsageError("the connection names no OPA server", where=where, next_step="write https://opa.example:8181")
    scheme, host, port = parse_address(connection.host or "", where=where, port=connection.port)
    extra = connection.extra_dejson
    return Endpoint(
        scheme=scheme,
        host=host,
        port=port,
        token=connection.password or "",
        ca_file=str(extra.get("ca_file") or ""),
        client_cert=str(extra.get("client_cert") or ""),
        client_key=str(extra.get("client_key") or ""),
        timeout=_timeout(extra.get("timeout")),
        retries=_retries(extra.get("retries")),
    )


def _decision_path(connection: Connection) -> str:
    from interlock.policy.engines.question import dotted_path

    try:
        return dotted_path(str(connection.extra_dejson.get("decision_path") or DECISION_PATH))
    except PolicyError as error:
        raise UsageError(error.what, where="extra `decision_path`", next_step=f"for example {DECISION_PATH}") from error


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


def _retries(said: object) -> int:
    text = "2" if said in (None, "") else str(said)
    if not text.isascii() or not text.isdigit() or int(text) > 10:
        raise UsageError(f"retries is a whole number up to 10, not {said!r}", where="extra `retries`")
    return int(text)


def _ask(engine: ServerEngine, path: str) -> str:
    """What a test says when all is well.

    Raises:
        InterlockError: The server does not answer or refuses us, has no Interlock policy, or has one that lets
            everything through.
    """
    where = engine.endpoint.base
    answer = engine.evaluate(path, {})
    # An undefined rule is 200 with {}: not an answer.
    result = answer.value
    if not isinstance(result, dict) or not isinstance(result.get("allow"), bool):
        raise UsageError(
            f"OPA has no Interlock policy: data.{path} is undefined or of another shape",
            where=where,
            next_step="load the bundle, for example opa run -s -b policies",
        )
    if result["allow"]:
        raise UsageError("the policy there allows an empty document, so it would allow anything", where=where)
    if not engine.is_healthy():
        raise UnavailableError("OPA answers, but says that it is not healthy", where=f"{where}/health")
    return f"OPA at {where} is healthy and answers data.{path}{_by(answer.bundle_digest)}"


def _by(digest: str) -> str:
    return f" by bundle {digest}" if digest else ""
