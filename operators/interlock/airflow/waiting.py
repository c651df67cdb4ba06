"""Wait until policy says yes: a change window, a budget, a freeze that ends.

This is no gate. It looks at no bytes, writes no receipt and opens nothing; it only keeps a pipeline from running into
a guard that would refuse it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import BaseOperator

from interlock.airflow.hooks import OpaHook
from interlock.gate.errors import InterlockError, PolicyError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.gate import Json

EVERY = timedelta(minutes=1)
AT_MOST = timedelta(days=1)


class WaitForPolicyOperator(BaseOperator):
    """Waits, without a worker, until a rule of an OPA server is ``true``.

    Args:
        path: The rule, dotted, for example ``acme.change_window.open``.
        document: What it reads as ``input`` (templated: it says what is asked, never how strictly).
        opa_conn_id: Connection of type ``opa``.
        every: Time between two questions.
        at_most: How long to wait before the task fails.
    """

    template_fields: Collection[str] = ("document",)
    ui_color = "#e3ecf7"

    def __init__(
        self,
        *,
        path: str,
        document: Mapping[str, Json] | None = None,
        opa_conn_id: str = OpaHook.default_conn_name,
        every: timedelta = EVERY,
        at_most: timedelta = AT_MOST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.document = document if document is not None else {}
        self.opa_conn_id = opa_conn_id
        self.every = every
        self.at_most = at_most

    def execute(self, context: Context, event: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Ask once; defer to the triggerer while the answer is not ``true``.

        Raises:
            AirflowFailException: The connection, the path or the document cannot be used.
            AirflowException: Nobody answers usably; Airflow's retries apply.
        """
        from interlock.airflow.triggers import PolicyTrigger

        if self._is_allowed():
            self.log.info("policy allows: %s", self.path)
            return
        trigger = PolicyTrigger(
            opa_conn_id=self.opa_conn_id, path=self.path, document=self.document, seconds=self.every.total_seconds()
        )
        # The task asks again when it wakes up: an event is not trusted to say that policy allows.
        self.defer(trigger=trigger, method_name="execute", timeout=self.at_most)

    def _is_allowed(self) -> bool:
        try:
            engine = OpaHook(self.opa_conn_id).get_engine()
            try:
                answer = engine.evaluate(self.path, self.document)
            finally:
                engine.close()
        except PolicyError as error:
            raise AirflowException(str(error)) from error
        except InterlockError as error:
            raise AirflowFailException(str(error)) from error
        return answer.defined and answer.value is True
