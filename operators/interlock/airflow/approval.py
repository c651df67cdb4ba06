"""A person's approval as a gate: asked for in Airflow, judged by policy, and signed like every other receipt.

Built on Airflow's human-in-the-loop record, without `ApprovalOperator`: there a rejection is a success that skips, a
default may answer after a timeout, and the DAG's author names who may approve. Here only a yes succeeds, by somebody
whom policy data lists and who did not set the run going; everything else fails the task and leaves a receipt that says
why.

Who can forge what:

- A DAG's author cannot, by anything that a DAG file may say: there is no option for approvers or defaults, and the
  event with which Airflow wakes the task is not believed.
- The task's own token cannot: what it writes into the record bears no name, and is refused.
- Whoever can run code in the gate's own process could sign anything, as with every gate: run approval gates on a
  queue of their own, with a key of their own that may sign nothing else (``interlock keys trust --gate approval``).
- Whoever has the API server's JWT secret can be any user. With LocalExecutor each task can read it; a name is worth
  what Airflow's login is worth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from interlock.airflow.base import InterlockOperator, open_runner, pointer, run_identity

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.runner import ApprovalQuestion

AT_MOST = timedelta(days=1)
_SHOWN = ("options", "subject", "body", "defaults", "multiple")
"""What of a question decides what people see, or what is answered without them."""


class ApprovalGateOperator(InterlockOperator):
    """Asks people to approve exactly these bytes, and waits without a worker.

    Succeeds only when somebody approved whom ``data.interlock.approvers`` lists for `step` and who did not trigger the
    run. A rejection, silence, an answer that names nobody and bytes that changed meanwhile fail, without a retry; none
    of them skips. The receipt is one of gate ``approval``, which profile parameter ``deployment.approvals`` counts.

    Args:
        subject: Path or URL of what is to be approved (templated).
        step: ``training`` or ``deployment``: what may be done with it then.
        at_most: How long to wait for an answer; then the task fails.
    """

    template_fields: Collection[str] = ("subject",)
    interlock_gate: ClassVar[str] = "approval"
    interlock_step: ClassVar[str] = "interlock.airflow.approval.ApprovalGateOperator"
    ui_color = "#efe3f7"

    def __init__(self, *, subject: str, step: str = "deployment", at_most: timedelta = AT_MOST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject = subject
        self.step = step
        self.at_most = at_most

    def execute(self, context: Context) -> dict[str, str]:
        """Put the question into Airflow's record, and park until somebody answers.

        Raises:
            AirflowFailException: Nobody could answer, the subject cannot be read, or the settings are wrong.
            AirflowException: Infrastructure trouble; Airflow's retries apply.
        """
        from interlock.airflow.records import RecordReader

        ti_id = context["ti"].id  # pyright: ignore[reportTypedDictNotRequiredAccess]  # there in every running task
        with open_runner(self.interlock_conn_id) as runner:
            question = runner.question(self.subject, self.step)
            with RecordReader.configured() as reader:
                reader.log_in()  # before anybody is asked: an answer that nobody can read is lost
                _check_askable(question, self.step, reader=reader.user, at_most=self.at_most)
            options = _ask(ti_id, question, self.step)
        self.log.info("asked %s about sha256:%s", ", ".join(question.approvers), question.subject.digest)
        self._wait(ti_id, options)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, str]:  # noqa: ARG002
        """Read the record, judge it on the bytes as they are now, and sign; fail unless that is an ALLOW.

        Args:
            context: Of the task.
            event: What Airflow woke the task with. A task can park itself with any event, so it is not looked at.

        Raises:
            AirflowFailException: Not approved; the receipt is in the ledger.
            AirflowException: Infrastructure trouble; Airflow's retries apply, and people are asked again.
        """
        from interlock.airflow.records import RecordReader
        from interlock.reporting import tell
        from interlock.runner import ApprovalRequest

        run = run_identity(context)
        ti_id = str(context["ti"].id)  # pyright: ignore[reportTypedDictNotRequiredAccess]  # as above
        with open_runner(self.interlock_conn_id) as runner:
            with RecordReader.configured() as reader:
                answer = reader.answer(run, ti_id=ti_id, step=self.step)
            outcome = runner.record_approval(ApprovalRequest(subject=self.subject, answer=answer, run=run))
            tell(self.log, outcome)
            outcome.raise_unless_allowed()
        return pointer(outcome.recorded)

    def _wait(self, ti_id: Any, options: list[str]) -> NoReturn:
        """Park in ``awaiting_input`` (Airflow 3.3), or in the triggerer (3.1 and 3.2); there is never a default."""
        try:
            from airflow.sdk.exceptions import TaskAwaitingInput
        except ImportError:
            from airflow.providers.standard.triggers.hitl import HITLTrigger
            from airflow.sdk.timezone import utcnow

            trigger = HITLTrigger(
                ti_id=ti_id, options=options, params={}, defaults=None, timeout_datetime=utcnow() + self.at_most
            )
            self.defer(trigger=trigger, method_name="execute_complete")
        raise TaskAwaitingInput(method_name="execute_complete", timeout=self.at_most)


def _check_askable(question: ApprovalQuestion, step: str, *, reader: str, at_most: timedelta) -> None:
    """Refuse to ask where no answer could help.

    Raises:
        UsageError: Says why, and who can change it.
    """
    from interlock.gate.errors import UsageError

    where = f"data.interlock.approvers.{step}"
    if not question.approvers:
        raise UsageError(
            f"nobody may approve a {step}: the policy lists no approvers",
            where=where,
            next_step='lay a bundle over the policy (setting `policy_layers`) whose data lists user names: ["alice"]',
        )
    if reader in question.approvers:
        raise UsageError(
            f"{reader!r} reads the records and may approve: whoever holds that password on a worker could do both",
            where=where,
            next_step="read with a user of role viewer whom the list does not name",
        )
    if at_most <= timedelta(0):
        raise UsageError("`at_most` is more than no time", where=f"at_most={at_most}")


def _ask(ti_id: Any, question: ApprovalQuestion, step: str) -> list[str]:
    """Write the question into the record, and make sure that it is the one that people see.

    Airflow keeps a question that is there already: of an earlier try, or of code that asked before this gate did.

    Raises:
        UsageError: Another question is there.
    """
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    from interlock.airflow.records import REJECT, approve_option
    from interlock.gate.errors import UsageError

    asked = CreateHITLDetailPayload(
        ti_id=ti_id,
        options=[approve_option(question.subject.digest), REJECT],
        subject=f"Approve the {step} of {_plain(question.subject.name)}?",
        body=_body(question, step),
        defaults=None,
        multiple=False,
        params={},
        assigned_users=[],
    )
    kept = SUPERVISOR_COMMS.send(asked)
    if any(getattr(kept, name, None) != getattr(asked, name) for name in _SHOWN):
        raise UsageError(
            "Airflow keeps another question for this task than the one that the gate asks",
            where=question.subject.uri,
            next_step="start a new run; if this was the first try, find out what asked before the gate did",
        )
    return asked.options


def _body(question: ApprovalQuestion, step: str) -> str:
    """What people see beside the buttons, in Markdown."""
    from interlock.evidence import State
    from interlock.gate import Stage

    rows = [
        f"| {t.receipt.gate} | {t.receipt.verdict.value} | {t.receipt.profile}{' (dev key)' if t.receipt.dev else ''} "
        f"| `{t.receipt_id}` |"
        for t in question.testimonies
        if t.state is State.VALID
        and t.receipt is not None
        and t.receipt.stage is Stage.GATE
        # An earlier answer would change the question of a task that is cleared, which Airflow keeps.
        and t.receipt.gate != ApprovalGateOperator.interlock_gate
    ]
    table = ["| gate | decision | profile | receipt |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(
        [
            f"`{_plain(question.subject.name)}` from `{_plain(question.subject.uri)}`, for {step}",
            "",
            f"`sha256:{question.subject.digest}`",
            "",
            *(table if rows else ["**No valid receipt speaks for these bytes.**"]),
            "",
            f"May answer: {', '.join(f'`{_plain(name)}`' for name in question.approvers)}, "
            "and nobody who set this run going. Any other answer fails the task.",
        ]
    )


def _plain(text: str) -> str:
    """Names come from paths that anybody may choose: none ends its code span."""
    kept = "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in text)
    return kept if len(kept) <= 200 else kept[:197] + "..."
