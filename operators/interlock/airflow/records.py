"""What Airflow's own database says of an answer: who gave it, and who set the run going.

A worker has no way to the database, and Airflow 3.3 gives a running task none to its own human-in-the-loop record.
So this asks the API server as a user who may only read. What comes back was written by the API server itself after it
had logged the person in. The other way into that record, the execution API with the task's own token, leaves
``responded_by_user`` null, and so does Airflow when it takes a default after a timeout.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

from interlock.airflow.api_client import AirflowClient
from interlock.gate.errors import EvidenceError, UnavailableError, UsageError

if TYPE_CHECKING:
    from interlock.deployment.approval import Answer, Behind, Choice, Person
    from interlock.gate import RunIdentity

SECTION: Final = "interlock"
REJECT: Final = "Reject"
MOST_RUNS = 50
"""How many runs that led to one are looked at."""

TRIES = 4
"""How often the API server is asked before the gate gives up: whoever answered should not have to do so twice."""

_APPROVE = re.compile(r"Approve sha256:([0-9a-f]{64})\Z")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_T = TypeVar("_T")


def approve_option(digest: str) -> str:
    """The button that approves; it names the bytes, so that the record says what was approved.

    Airflow keeps the question of an earlier try, text and all, when a task is cleared. Only what stands in the chosen
    option is sure to be what the person saw.
    """
    return f"Approve sha256:{digest}"


class RecordReader(AirflowClient):
    """Reads records as the user that the deployment set for it.

    Args:
        address: URL of the API server.
        user: Who reads. Role viewer is enough; it must be nobody who may approve.
        password: Theirs.
        ca_file: PEM of a private CA.
    """

    def __init__(self, *, address: str, user: str, password: str, ca_file: str = "") -> None:
        super().__init__(address=address, user=user, password=password, ca_file=ca_file)
        self.user = user

    @classmethod
    def configured(cls) -> Self:
        """The reader that section ``[interlock]`` of Airflow's configuration names; never a connection.

        Raises:
            UsageError: Something is missing, or the password would go over plain http to another machine.
        """
        from airflow.providers.common.compat.sdk import conf

        address = conf.get(SECTION, "records_url", fallback="") or conf.get("api", "base_url", fallback="")
        user = conf.get(SECTION, "records_user", fallback="")
        password_file = conf.get(SECTION, "records_password_file", fallback="")
        if not (address and user and password_file):
            raise UsageError(
                "nobody may read Airflow's records for approvals",
                where=f"section [{SECTION}] of airflow.cfg",
                next_step="set records_url, records_user (role viewer) and records_password_file on this worker",
            )
        _check_address(address)
        try:
            password = Path(password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the reader's password cannot be read: {error}", where=password_file) from error
        ca_file = conf.get(SECTION, "records_ca_file", fallback="")
        return cls(address=address.rstrip("/"), user=user, password=password, ca_file=ca_file)

    def answer(self, run: RunIdentity, *, ti_id: str, step: str) -> Answer:
        """What was answered to the question of one task.

        Args:
            run: The task.
            ti_id: Its id in this try; a record of another try is not believed.
            step: What was asked for.

        Raises:
            EvidenceError: The record is of another task, or its question is not one of this gate.
            UsageError: The server refuses to show the record.
            UnavailableError: It does not answer.
        """
        from interlock.deployment.approval import Answer
        from interlock.gate import Tool

        path = (
            f"/api/v2/dags/{_part(run.pipeline)}/dagRuns/{_part(run.run_id)}"
            f"/taskInstances/{_part(run.task_id)}/{run.map_index}/hitlDetails"
        )
        record = _patiently(lambda: self._json("GET", path))
        try:
            if record["task_instance"]["id"] != ti_id:
                raise EvidenceError("the record is of another try of this task", where=path)
            asked, choice, person = _asked(record), _choice(record), _person(record)
            answered = datetime.fromisoformat(record["responded_at"]) if record["responded_at"] else None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(f"the record has another shape: {error!r}", where=path) from error
        return Answer(
            step=step,
            choice=choice,
            asked=asked,
            by=person,
            answered=answered,
            behind=self.behind(run.pipeline, run.run_id),
            via=Tool(name="airflow", version=version("apache-airflow-core")),
            record=f"{self.address}{path}",
        )

    def behind(self, dag_id: str, run_id: str) -> Behind:
        """Who set a run going, and the runs whose assets did.

        Not known where Airflow does not say: a run that another run's task or the command line of old versions
        started, an asset event that came from outside, a run that is gone.

        Raises:
            UnavailableError: The server does not answer.
        """
        from interlock.deployment.approval import Behind

        names: list[str] = []
        seen: set[tuple[str, str]] = set()
        waiting, known = [(dag_id, run_id)], True
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            if len(seen) == MOST_RUNS:
                known = False
                break
            seen.add(one)
            try:
                name, before = self._started(*one)
            except (UsageError, KeyError, TypeError):
                known = False
                continue
            known = known and before is not None
            names += [name] if name else []
            waiting += before or ()
        return Behind(names=tuple(dict.fromkeys(names)), known=known)

    def _started(self, dag_id: str, run_id: str) -> tuple[str, list[tuple[str, str]] | None]:
        """Who started one run, and the runs before it; None in place of these where that is not known."""
        path = f"/api/v2/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"
        run = _patiently(lambda: self._json("GET", path))
        kind, name = run["run_type"], run["triggering_user_name"] or ""
        if kind == "asset_triggered":
            events = _patiently(lambda: self._json("GET", f"{path}/upstreamAssetEvents"))["asset_events"]
            sources = [(event["source_dag_id"], event["source_run_id"]) for event in events]
            return name, sources if sources and all(all(source) for source in sources) else None
        return name, [] if name or kind == "scheduled" else None


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise UsageError(
        "records are read over https only: whoever stands between could write the answer",
        where=f"records_url {address}",
        next_step="give the https URL of the API server",
    )


def _part(text: str) -> str:
    return quote(text, safe="")


def _asked(record: Mapping[str, Any]) -> str:
    """The digest that the question named."""
    options = record["options"]
    match = _APPROVE.match(options[0])
    if match is None or options[1:] != [REJECT]:
        raise EvidenceError("the question in the record is not one of this gate", where=repr(options)[:200])
    return match[1]


def _choice(record: Mapping[str, Any]) -> Choice:
    from interlock.deployment.approval import Choice

    if not record["responded_at"]:
        return Choice.NONE
    chosen = record["chosen_options"]
    if chosen == [REJECT]:
        return Choice.REJECTED
    return Choice.APPROVED if chosen == record["options"][:1] else Choice.OTHER


def _person(record: Mapping[str, Any]) -> Person | None:
    from interlock.deployment.approval import Person

    by = record["responded_by_user"]
    if by is None or not str(by["name"]).strip():
        return None
    return Person(id=str(by["id"]), name=str(by["name"]))


def _patiently(ask: Callable[[], _T]) -> _T:
    """Ask again for a moment when the server does not answer."""
    for attempt in range(1, TRIES):
        try:
            return ask()
        except UnavailableError:
            time.sleep(2.0**attempt)
    return ask()
