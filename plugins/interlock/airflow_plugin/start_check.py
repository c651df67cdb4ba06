"""Whether a task may start, as far as the API server can tell without opening any bytes (level L4).

A protected task may start when the ledger holds, for every gate kind that policy and the task itself require, a
genuine receipt that says ALLOW, of this very run, in time, by a known policy bundle, and all of them about the same
bytes. What the task is then going to open is not known here: receipts about one dataset of a run let a task start that
opens another one. The guard inside the step (L3) compares the bytes, and does not rely on this.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from interlock.airflow_plugin.known_steps import KnownSteps, current_rules
from interlock.gate.errors import InterlockError, UsageError
from interlock.gate.values import RunIdentity, utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from interlock.airflow_plugin.rules import Rules
    from interlock.evidence import KeyRing, LedgerEntry
    from interlock.evidence.examination import Examination
    from interlock.gate import Settings
    from interlock.pipeline import Step

CANNOT_TELL = "Interlock cannot tell whether this task may start"
_ABOUT_TO_START = frozenset({"queued", "restarting"})
"""States of a task instance from which Airflow lets it start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A protected step, and the policy that says so."""

    step: Step
    rules: Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A task that asks to start and is not known to be an ordinary one.

    Args:
        run: Which one it is.
        due: Whether Airflow itself would let it start now.
        settings: The deployment's.
        known: What it is; None when nobody can say.
        trouble: Why nobody can say.
    """

    run: RunIdentity
    due: bool
    settings: Settings
    known: Known | None = None
    trouble: str = ""


class StartCheck:
    """The two questions about a task that asks to start; both wait for databases, so not on an event loop."""

    def __init__(self) -> None:
        self._known = KnownSteps()

    def look(self, task_instance_id: str) -> Start | None:
        """What asks to start.

        Args:
            task_instance_id: From the request's path; untrusted.

        Returns:
            None for an ordinary task, and for one that Airflow does not know and refuses by itself.

        Raises:
            InterlockError: The settings cannot be read.
            ValueError: That is no id.
            SQLAlchemyError: Airflow's database does not answer.
        """
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        from interlock.gate import Settings

        settings = Settings.load()
        if not settings.airflow_hard_mode:
            return None
        with create_session() as session:
            instance = session.get(TaskInstance, UUID(task_instance_id))
            if instance is None:
                return None
            start = Start(run=_identity(instance), due=str(instance.state) in _ABOUT_TO_START, settings=settings)
            try:
                known = self._identify(instance, settings, session)
            except InterlockError as error:
                return replace(start, trouble=str(error))
        return replace(start, known=known) if known.step.protects else None

    def _identify(self, instance: Any, settings: Settings, session: Session) -> Known:
        rules = current_rules(settings)
        version = str(instance.dag_version_id or "")
        steps = self._known.of(instance.dag_id, version, rules=rules, session=session)
        if steps is None or instance.task_id not in steps:
            raise UsageError(
                "Airflow's database does not have the DAG version of this task, so nobody can say what it is",
                where=f"{instance.dag_id}.{instance.task_id}",
                next_step="wait until the DAG is parsed again, then clear the task",
            )
        return Known(step=steps[instance.task_id], rules=rules)

    def refusal(self, start: Start) -> str:
        """Why it may not start; empty when it may.

        Raises:
            InterlockError: Ledger, keys or policy engine cannot be asked.
        """
        from interlock.evidence import KeyRing, Ledger, open_receipts

        if start.known is None:
            return f"{CANNOT_TELL}: {start.trouble}"
        step = start.known.step
        with closing(Ledger.open(start.settings.ledger_url)) as ledger:
            entries = open_receipts(start.settings, ledger).of_run(start.run)
        nearest = _nearest(entries, start, start.known, KeyRing.load(start.settings))
        if nearest is not None and not nearest.missing:
            return ""
        missing = nearest.missing if nearest is not None else step.requires
        why = [f"{r.gate or 'a'} receipt {r.receipt_id}: {r.reason}" for r in nearest.refusals] if nearest else []
        because = f" ({'; '.join(why[-3:])})" if why else ""
        run = start.run
        return (
            f"Interlock does not let {step.protects} step {run.task_id!r} of DAG {run.pipeline!r} start: run"
            f" {run.run_id!r} has no {' and no '.join(missing)} receipt that opens it{because}. Setting a gate's state"
            f" by hand makes no receipt. Next: clear the gate{'s' if len(missing) > 1 else ''} and let"
            f" {'them' if len(missing) > 1 else 'it'} run; see `interlock ledger list --run {run.run_id}`"
        )


def _nearest(entries: Sequence[LedgerEntry], start: Start, known: Known, keyring: KeyRing) -> Examination | None:
    """The examination of the bytes that most of the required gates allowed; None when the run has no receipts."""
    from interlock.evidence.examination import examine
    from interlock.evidence.ledger_check import statement_of

    # Unverified: it only says which digests to examine. The ledger has checked the shape for its index.
    bound = [statement_of(entry.envelope)["predicate"]["interlock_receipt"] for entry in entries]
    claimed = dict.fromkeys(str(receipt["subject"]["digest"]["sha256"]) for receipt in bound)
    bundles = _bundles(start.settings, known.rules)
    examined = [
        examine(
            entries,
            digest=digest,
            requires=known.step.requires,
            run=start.run,
            keyring=keyring,
            bundles=bundles,
            now=utc_now(),
        )
        for digest in claimed
    ]
    return min(examined, key=lambda examination: len(examination.missing), default=None)


def _bundles(settings: Settings, rules: Rules) -> frozenset[str]:
    """The policy bundles whose receipts count: the one that the engine decides by, and those of a roll-out."""
    from interlock.policy import open_engine

    known = frozenset(settings.known_bundles)
    if settings.engine == "server" or (settings.engine == "auto" and settings.opa_url):
        with closing(open_engine(settings, rules.bundle)) as engine:
            return (known | {engine.bundle_digest}) - {""}
    return known | {rules.bundle.digest}


def _identity(instance: Any) -> RunIdentity:
    return RunIdentity(
        orchestrator="airflow",
        pipeline=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        attempt=max(1, instance.try_number or 1),
        map_index=-1 if instance.map_index is None else instance.map_index,
    )
