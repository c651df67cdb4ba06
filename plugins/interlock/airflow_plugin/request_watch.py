"""Records who marks, clears, pauses or deletes gates and protected tasks through Airflow's API; ASGI root middleware.

It detects and never stops: requests pass unchanged and unawaited, what they changed is looked at after the answer, in
threads, and whatever goes wrong here is logged. The user is asked of Airflow's own auth manager, by the credentials
of a request that Airflow has already let through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.event_writer import EventWriter, event_writer
from interlock.airflow_plugin.known_steps import KnownSteps, current_rules
from interlock.airflow_plugin.listener import NOTED
from interlock.airflow_plugin.manual import EVERYTHING, Change, Exchange, changes_of, is_watched
from interlock.evidence.enforcement import MAX_REASON, EnforcementEvent, fitting
from interlock.gate.errors import InterlockError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger(__name__)
_PREFIX = "/api/v2/"
_KEPT_BYTES = 8 << 20


class RequestWatch:
    """The middleware.

    Args:
        app: What answers.
        writer: Where events go; the process's own unless a test says otherwise.
    """

    def __init__(self, app: ASGIApp, writer: EventWriter | None = None) -> None:
        self.app = app
        self._writer = writer or event_writer()
        self._known = KnownSteps()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="interlock-watch")  # one: events keep their order
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, and look at it afterwards if it may have changed something."""
        path = _path(scope)
        if path is None or not is_watched(scope["method"], path):
            await self.app(scope, receive, send)
            return
        taps = _Taps(receive, send)
        noted: list[Change] = []
        token = NOTED.set(noted)
        try:
            await self.app(scope, taps.receive, taps.send)
        finally:
            NOTED.reset(token)
        if 200 <= taps.status < 300:
            exchange = Exchange(method=scope["method"], path=path, body=taps.body.whole, answer=taps.answer.whole)
            task = asyncio.get_running_loop().create_task(self._record(scope, exchange, tuple(noted)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _record(self, scope: Scope, exchange: Exchange, noted: Sequence[Change]) -> None:
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, self._that_matter, exchange, noted)
            if not found:
                return
            actor = await _actor(scope)
            how = f"{exchange.method} {_PREFIX}{exchange.path}"
            self._writer.write([_event(change, actor, how) for change in found])
        except Exception:  # noqa: BLE001 (the edge to Airflow: what only tells must not break anything)
            _LOG.exception("a change by %s %s could not be recorded", exchange.method, exchange.path)

    def _that_matter(self, exchange: Exchange, noted: Sequence[Change]) -> list[Change]:
        """The changes of gates and protected tasks; where that cannot be told, all."""
        changes = [*noted, *changes_of(exchange)]
        if not changes:
            return []
        from airflow.utils.session import create_session

        from interlock.gate import Settings

        try:
            rules = current_rules(Settings.load())
        except InterlockError as error:
            _LOG.warning("all changes by hand count, as nobody knows what is protected: %s", error)
            return changes
        with create_session() as session:
            return [change for change in changes if self._matters(change, rules, session)]

    def _matters(self, change: Change, rules: Any, session: Any) -> bool:
        if change.dag_id == EVERYTHING:
            return True
        try:
            steps = self._known.of(change.dag_id, change.version_id, rules=rules, session=session)
        except InterlockError as error:
            _LOG.warning("a change of DAG %r counts, as nobody knows what is protected: %s", change.dag_id, error)
            return True
        if steps is None:
            return True
        if not change.task_id:
            return any(step.gate or step.protects for step in steps.values())
        step = steps.get(change.task_id)
        return step is None or bool(step.gate or step.protects)


class _Kept:
    """Bytes of a message, up to a limit."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= _KEPT_BYTES:
            self._parts.append(part)

    @property
    def whole(self) -> bytes | None:
        return b"".join(self._parts) if self._size <= _KEPT_BYTES else None


class _Taps:
    """Hands messages on as they are, and remembers what was sent and answered."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.body, self.answer = _Kept(), _Kept()
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.body.add(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.answer.add(message.get("body", b""))
        await self._send(message)


def _path(scope: Scope) -> str | None:
    """What comes after ``/api/v2/``, or None for everything else."""
    if scope["type"] != "http":
        return None
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else None


def _event(change: Change, actor: str, how: str) -> EnforcementEvent:
    return EnforcementEvent(
        kind=change.kind,
        actor=actor,
        orchestrator="airflow",
        pipeline=fitting(change.dag_id),
        run_id=fitting(change.run_id),
        task_id=fitting(change.task_id),
        map_index=change.map_index,
        attempt=change.attempt,
        reason=fitting(f"{how} ({change.note})" if change.note else how, MAX_REASON),
    )


async def _actor(scope: Scope) -> str:
    """The user's name, as Airflow's auth manager knows it; empty when it cannot tell."""
    from airflow.api_fastapi.app import get_auth_manager

    try:
        user = scope.get("state", {}).get("user")  # set by Airflow for a browser's cookie
        bearer = _bearer(scope)
        if bearer or user is None:
            user = await get_auth_manager().get_user_from_token(bearer or _cookie(scope))
        return fitting(user.get_name())
    except Exception:  # noqa: BLE001 (whatever an auth manager raises; the change is told even so)
        _LOG.exception("nobody knows who made a request that Airflow answered")
        return ""


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _bearer(scope: Scope) -> str:
    scheme, _, token = _header(scope, b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _cookie(scope: Scope) -> str:
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN

    try:
        jar = SimpleCookie(_header(scope, b"cookie"))
    except CookieError:
        return ""
    return jar[COOKIE_NAME_JWT_TOKEN].value if COOKIE_NAME_JWT_TOKEN in jar else ""
