"""Waiting for policy without a worker: the triggerer asks an OPA server again and again.

What a trigger says is news, not permission: the task that wakes up asks for itself (`interlock.airflow.waiting`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from interlock.airflow.hooks import OpaHook
from interlock.gate.errors import InterlockError
from interlock.gate.values import Json


class PolicyTrigger(BaseTrigger):
    """Fires when an OPA server says ``true`` for one document.

    Undefined, any other value, and a server that cannot be asked are all not yet.

    Args:
        opa_conn_id: Connection of type ``opa``.
        path: The rule, dotted.
        document: What it reads as ``input``.
        seconds: Between two questions.
    """

    def __init__(self, *, opa_conn_id: str, path: str, document: Mapping[str, Json], seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.opa_conn_id = opa_conn_id
        self.path = path
        self.document = document
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """For the triggerer."""
        return (
            f"{__name__}.{type(self).__name__}",
            {
                "opa_conn_id": self.opa_conn_id,
                "path": self.path,
                "document": dict(self.document),
                "seconds": self.seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until the answer is ``true``."""
        async with await OpaHook(self.opa_conn_id).aget_engine() as engine:
            while not await self._is_allowed(engine):
                await asyncio.sleep(self.seconds)
        yield TriggerEvent({"path": self.path})  # type: ignore[no-untyped-call]  # Airflow's own

    async def _is_allowed(self, engine: Any) -> bool:
        try:
            answer = await engine.evaluate(self.path, self.document)
        except InterlockError as error:
            self.log.warning("not yet: %s", error)
            return False
        return answer.defined and answer.value is True
