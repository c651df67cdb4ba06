"""What `interlock airflow ...` does in Airflow's database: make the pool, say what is in force, judge what waits.

Run where Airflow is configured as for the scheduler, by somebody who may write its database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.quarantine import POOL, hold_if_ungated
from interlock.airflow_plugin.quarantine_events import told
from interlock.gate.errors import InterlockError, MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from airflow.models.pool import Pool
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

DESCRIPTION = (
    "Interlock's quarantine: tasks whose gates are missing wait here. Leave it at 0 slots; the DAG's tab"
    " 'Security gates' says what to do."
)
WAITING_STATES = (None, "scheduled", "up_for_retry", "up_for_reschedule", "deferred")
_HOOKS = ("dag_policy", "task_instance_mutation_hook")
_TELL_PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the answer.

    Args:
        what: What was looked at.
        ok: Whether it is as it must be.
        found: How it is.
        next_step: What to do about it; empty where nothing is to be done.
    """

    what: str
    ok: bool
    found: str
    next_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A waiting task instance that went into or out of the quarantine when it was asked again.

    Args:
        dag_id: As Airflow names it, as are all that follow.
        run_id: Of the run.
        task_id: Of the task.
        map_index: -1 when not mapped.
        pool: Where it waits now.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    pool: str


def set_up() -> None:
    """Make the quarantine pool, or give it back its 0 slots; again it changes nothing.

    Raises:
        MissingExtraError: Airflow is not installed.
        UnavailableError: Airflow's database does not answer, or its tables are not there yet.
    """
    with _database() as session:
        from airflow.models.pool import Pool

        Pool.create_or_update_pool(name=POOL, slots=0, description=DESCRIPTION, include_deferred=False, session=session)


def status() -> tuple[Line, ...]:
    """What of the enforcement is in force in this Airflow.

    Raises:
        MissingExtraError, UnavailableError: As for `set_up`.
    """
    with _database() as session:
        return (_hooks(), _bulk(), _plugin(), _policy(), _pool(session), _waiting(session))


def recheck() -> tuple[Moved, ...]:
    """Judge every task that waits by the policy and the DAG of now, and move it into or out of the quarantine.

    For tasks that waited when Interlock was installed, and after policy was changed, mended or could not be read.

    Raises:
        MissingExtraError, UnavailableError: As for `set_up`; then nothing was moved.
    """
    with _database() as session:
        moved = tuple(_rechecked(session))
    told().flush(_TELL_PATIENCE)
    return moved


def quarantine_pool(session: Session) -> Pool | None:
    """The pool as it is in Airflow's database."""
    from airflow.models.pool import Pool

    return Pool.get_pool(POOL, session=session)


def pool_line(pool: Pool | None) -> Line:
    """Whether the quarantine holds what is put there."""
    again = "run `interlock airflow setup`"
    if pool is None:
        found = f"no pool {POOL}: quarantined tasks wait all the same, and Airflow warns about them for ever"
        return Line(what="quarantine pool", ok=False, found=found, next_step=again)
    if pool.slots != 0:
        found = f"{POOL} has {'endless' if pool.slots < 0 else pool.slots} slots: what is quarantined runs"
        return Line(what="quarantine pool", ok=False, found=found, next_step=again)
    return Line(what="quarantine pool", ok=True, found=f"{POOL}, 0 slots")


@contextmanager
def _database() -> Iterator[Session]:
    """A session of Airflow's database; what goes wrong there is one of Interlock's errors."""
    try:
        from airflow.utils.session import create_session
    except ModuleNotFoundError as error:
        raise MissingExtraError("airflow", extra="airflow") from error
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            yield session
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise UnavailableError(
            f"Airflow's database cannot be used: {cause}",
            where="[database] sql_alchemy_conn",
            next_step="run it as the scheduler's user, with its AIRFLOW_HOME, after `airflow db migrate`",
        ) from error


def _hooks() -> Line:
    from airflow import settings

    manager: Any = getattr(settings, "POLICY_PLUGIN_MANAGER", None) or settings.get_policy_plugin_manager()
    plugin = manager.get_plugin("interlock")
    callers = manager.get_hookcallers(plugin) if plugin is not None else None
    loaded = {caller.name for caller in callers or ()}
    missing = [name for name in _HOOKS if name not in loaded]
    if missing:
        return Line(
            what="cluster policy",
            ok=False,
            found=f"not loaded: {', '.join(missing)}",
            next_step="install interlock into the environment of every Airflow process",
        )
    return Line(what="cluster policy", ok=True, found=", ".join(_HOOKS))


def _bulk() -> Line:
    from airflow import settings

    noop = getattr(settings.task_instance_mutation_hook, "is_noop", False)
    return Line(
        what="new task instances",
        ok=not noop,
        found="Airflow would drop the quarantine pool of new ones" if noop else "the quarantine pool reaches them",
        next_step="put an empty airflow_local_settings.py on the path of the scheduler and API server" if noop else "",
    )


def _plugin() -> Line:
    from airflow import plugins_manager

    plugins_manager.ensure_plugins_loaded()
    names = {str(info.get("name")) for info in plugins_manager.get_plugin_info({"source"})}
    loaded = "interlock" in names
    return Line(
        what="plugin",
        ok=loaded,
        found="loaded" if loaded else "not loaded: no tab 'Security gates', and changes by hand are not recorded",
        next_step="" if loaded else "see `airflow plugins`, and install interlock again",
    )


def _policy() -> Line:
    from interlock.airflow_plugin.rules import rules_of
    from interlock.gate import Settings
    from interlock.policy import load_policy

    try:
        settings = Settings.load()
        bundle = load_policy(settings, online=False)
        rules_of(settings, bundle)
    except InterlockError as error:
        return Line(what="policy", ok=False, found=f"{error.what}: every new task waits", next_step=error.next_step)
    return Line(what="policy", ok=True, found=f"profile {settings.profile}, bundle sha256:{bundle.digest[:12]}")


def _pool(session: Session) -> Line:
    return pool_line(quarantine_pool(session))


def _waiting(session: Session) -> Line:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import func, select

    counted = select(func.count()).select_from(TaskInstance).where(TaskInstance.pool == POOL, _waits())
    count = session.scalar(counted) or 0
    found = f"{count} task instance{'' if count == 1 else 's'} in the quarantine"
    return Line(
        what="waiting", ok=True, found=found, next_step="see the tab 'Security gates' of the DAG" if count else ""
    )


def _waits() -> Any:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import or_

    return or_(TaskInstance.state.is_(None), TaskInstance.state.in_([state for state in WAITING_STATES if state]))


def _rechecked(session: Session) -> Iterator[Moved]:
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    bag = DBDagBag(load_op_links=False)
    waiting = select(TaskInstance).join(TaskInstance.dag_run).where(DagRun.state.in_(["queued", "running"]), _waits())
    for instance in session.scalars(waiting):
        before = instance.pool
        _ask_again(instance, lambda run: bag.get_dag_for_run(run, session=session))
        if instance.pool != before:
            yield Moved(
                dag_id=instance.dag_id,
                run_id=instance.run_id,
                task_id=instance.task_id,
                map_index=instance.map_index,
                pool=instance.pool,
            )


def _ask_again(instance: TaskInstance, dag_of: Callable[[Any], Any]) -> None:
    dag = dag_of(instance.dag_run)
    if dag is not None and dag.has_task(instance.task_id):
        instance.task = dag.get_task(instance.task_id)
    hold_if_ungated(instance)
