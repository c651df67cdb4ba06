"""Hard mode (level L4): the API server does not let a protected task start whose run has no receipts.

Before a worker runs the first line of a DAG's author it asks ``PATCH /execution/task-instances/{id}/run``. This ASGI
root middleware answers 403 in the API server's place when `StartCheck` says no, and when it cannot say anything of a
task that is not known to be an ordinary one. Always in JSON with exactly that content type: any other error makes
LocalExecutor take the scheduler down (Airflow 3.3). It waits in threads, and not for longer than a worker does.

It is where the `core` app is served: ``airflow api-server --apps execution`` loads no plugins, so not this one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from interlock.airflow_plugin.event_writer import EventWriter, event_writer
from interlock.airflow_plugin.start_check import CANNOT_TELL, Start, StartCheck
from interlock.airflow_plugin.task_notes import note_refusal
from interlock.evidence.enforcement import MAX_REASON, EnforcementEvent, EventKind, fitting
from interlock.gate.errors import InterlockError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from interlock.gate.values import RunIdentity

_LOG = logging.getLogger(__name__)
DEADLINE = 4.0
"""Seconds for one answer; a worker gives up after 5 (``[workers] execution_api_timeout``)."""
REASON = "interlock_start_refused"
# Versions of the execution API are told by a header; a version in the path would be matched as well.
_RUN = re.compile(r"(?:.*/)?execution/(?:.*/)?task-instances/([^/]+)/run/?", re.DOTALL)
_TOLD_AT_MOST = 4096
NOTES_AT_MOST = 64
"""Notes that wait to be written; refusals of anybody's ids would pile up behind a busy database."""


class RunMiddleware:
    """The middleware.

    Args:
        app: What answers otherwise.
        check: What is asked; replaced in tests.
        writer: Where refusals are told; the process's own unless a test says otherwise.
        note: Writes a refusal where the task is shown; replaced in tests.
        deadline: Seconds for one answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        check: StartCheck | None = None,
        writer: EventWriter | None = None,
        note: Callable[[str, str], None] = note_refusal,
        deadline: float = DEADLINE,
    ) -> None:
        self.app = app
        self._check = check or StartCheck()
        self._writer = writer or event_writer()
        self._note = note
        self._deadline = deadline
        # Pools of their own, so that a ledger or a note that has to wait keeps no ordinary task waiting.
        self._looking = ThreadPoolExecutor(4, thread_name_prefix="interlock-look")
        self._asking = ThreadPoolExecutor(4, thread_name_prefix="interlock-ledger")
        self._noting = ThreadPoolExecutor(1, thread_name_prefix="interlock-note")
        self._room = threading.Semaphore(NOTES_AT_MOST)
        self._told: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but the start of a task that is refused."""
        instance = _instance(scope)
        refusal = await self._refusal(instance) if instance is not None else ""
        if refusal:
            await _forbid(send, refusal)
        else:
            await self.app(scope, receive, send)

    async def _refusal(self, instance: str) -> str:
        """Why the task may not start, empty when it may; never raises."""
        loop = asyncio.get_running_loop()
        start: Start | None = None
        unseen = False
        try:
            async with asyncio.timeout(self._deadline):
                start = await loop.run_in_executor(self._looking, self._check.look, instance)
                if start is None:
                    return ""
                refusal = await loop.run_in_executor(self._asking, self._check.refusal, start)
        except TimeoutError:
            unseen = start is None  # anybody's id, perhaps, and a note would ask the same busy database
            refusal = (
                f"Interlock could not tell within {self._deadline:g} s whether this task may start. Next: try again"
            )
        except InterlockError as error:
            refusal = f"{CANNOT_TELL}: {error}"
        except Exception as error:  # noqa: BLE001 (an error page in place of JSON would kill Airflow's scheduler)
            _LOG.exception("whether task instance %s may start could not be told", instance)
            refusal = f"{CANNOT_TELL} ({type(error).__name__}). Next: see the API server's log"
        if refusal:
            self._tell(instance, start, refusal, unseen=unseen)
        return refusal

    def _tell(self, instance: str, start: Start | None, refusal: str, *, unseen: bool) -> None:
        """Say once a try why, where people look: anybody may ask, but only a task that is due counts."""
        _LOG.warning("task instance %s was not started: %s", instance[:64], refusal)
        attempt = start.run.attempt if start is not None else 0
        if unseen or (start is not None and not start.due) or (instance, attempt) in self._told:
            return
        self._told[instance, attempt] = None
        while len(self._told) > _TOLD_AT_MOST:
            self._told.popitem(last=False)
        if self._room.acquire(blocking=False):
            noted = self._noting.submit(self._note, instance, fitting(refusal, MAX_REASON))
            noted.add_done_callback(lambda _: self._room.release())
        else:
            _LOG.warning("%d refusals wait to be noted, so that of %s is only here", NOTES_AT_MOST, instance[:64])
        if start is not None:
            self._writer.write([_event(start.run, refusal)])


def _event(run: RunIdentity, refusal: str) -> EnforcementEvent:
    return EnforcementEvent(
        kind=EventKind.START_REFUSED,
        level="L4",
        orchestrator=run.orchestrator,
        pipeline=fitting(run.pipeline),
        run_id=fitting(run.run_id),
        task_id=fitting(run.task_id),
        map_index=run.map_index,
        attempt=run.attempt,
        reason=fitting(refusal, MAX_REASON),
    )


def _instance(scope: Scope) -> str | None:
    """The id in the path of a request to start a task, else None."""
    if scope["type"] != "http" or scope["method"] != "PATCH":
        return None
    found = _RUN.fullmatch(scope["path"])
    return found[1] if found is not None else None


async def _forbid(send: Send, refusal: str) -> None:
    body = json.dumps({"detail": {"reason": REASON, "message": fitting(refusal, MAX_REASON)}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
