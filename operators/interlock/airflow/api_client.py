"""A small client for Airflow's public REST API (``/api/v2``, Airflow 3.1 and later): what driving a run needs.

Answers come from a server and are turned into frozen values at once; a field that is missing is an error that names
it. Proxies from the environment are not used: the stack is on this machine.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from interlock.gate.errors import MissingExtraError, UnavailableError, UsageError

if TYPE_CHECKING:
    import httpx

    from interlock.gate import Json

PATIENCE = 120.0
GRACE_AFTER_IMPORT_ERROR = 3.0
"""Seconds in which the wanted DAG may still appear after some file of the folder failed to import."""
ENDED = frozenset({"success", "failed"})
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportProblem:
    """A DAG file that could not be loaded, or that the cluster policy refused."""

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A DAG run as the server sees it now."""

    run_id: str
    state: str
    start: datetime | None
    end: datetime | None

    @property
    def ended(self) -> bool:
        """True when nothing more will happen."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task instance as the server sees it now. `state` is empty while the scheduler has not looked at it."""

    task_id: str
    state: str
    attempt: int
    map_index: int
    start: datetime | None
    end: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it ran, or None."""
        return (self.end - self.start).total_seconds() if self.start and self.end else None


class AirflowClient:
    """Talks to one Airflow as one user.

    Args:
        address: For example ``http://127.0.0.1:8080``.
        user: User name.
        password: Password; exchanged for a token, which is renewed when it expires.
        timeout: Seconds for one request.
        ca_file: PEM of the private CA that signed the server's certificate; empty means the public ones.
    """

    def __init__(self, *, address: str, user: str, password: str, timeout: float = 30.0, ca_file: str = "") -> None:
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise MissingExtraError("httpx", extra="airflow") from error
        self.address = address
        self._credentials = {"username": user, "password": password}
        try:
            verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
        except OSError as error:
            raise UsageError(f"the CA file cannot be read: {error}", where=ca_file) from error
        self._http = httpx.Client(base_url=address, timeout=timeout, trust_env=False, verify=verify)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_in(self) -> None:
        """Get a token (``POST /auth/token``).

        Raises:
            UsageError: The server does not know this user and password.
            UnavailableError: The server does not answer.
        """
        self._http.headers.pop("Authorization", None)
        answer = self._send("POST", "/auth/token", body=self._credentials)
        if answer.status_code >= 400:
            raise UsageError(f"Airflow refused the login of {self._credentials['username']}", where=self.address)
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def health(self) -> Mapping[str, Any]:
        """What ``/api/v2/monitor/health`` says, for example ``{"scheduler": {"status": "healthy", ...}, ...}``.

        Raises:
            UnavailableError: The server does not answer, or not with 200.
        """
        answer = self._send("GET", "/api/v2/monitor/health")
        if answer.status_code != 200:
            raise UnavailableError(f"the API server answered {answer.status_code}", where=self.address)
        return dict(answer.json())

    def import_problems(self) -> tuple[ImportProblem, ...]:
        """DAG files that did not load, with the reason."""
        found = self._json("GET", "/api/v2/importErrors")["import_errors"]
        return tuple(ImportProblem(file=item["filename"], text=item["stack_trace"].strip()) for item in found)

    def wait_for_dag(self, dag_id: str, *, parsed_after: datetime | None = None, patience: float = PATIENCE) -> None:
        """Wait until the DAG processor has loaded `dag_id`.

        Args:
            dag_id: The DAG.
            parsed_after: Only count a parse after this moment: an older home remembers earlier ones.
            patience: Seconds.

        Raises:
            UsageError: A DAG file failed to import and the DAG is not there; says which and why.
            UnavailableError: It did not appear in time.
        """
        until = time.monotonic() + patience
        first_problem: float | None = None
        while not self._is_loaded(dag_id, parsed_after):
            now = time.monotonic()
            problems = self.import_problems()
            first_problem = (first_problem or now) if problems else None
            if first_problem is not None and now - first_problem > GRACE_AFTER_IMPORT_ERROR:
                said = "\n\n".join(f"{problem.file}:\n{problem.text}" for problem in problems)
                raise UsageError(f"DAG {dag_id!r} was not loaded; these files have import errors:\n{said}")
            if now > until:
                raise UnavailableError(
                    f"DAG {dag_id!r} did not appear within {patience:.0f} s",
                    where=self.address,
                    next_step="see logs/dag-processor.log; is the DAG's file in the DAGs folder?",
                )
            time.sleep(0.25)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self._json("PATCH", f"/api/v2/dags/{dag_id}", body={"is_paused": False})

    def trigger(self, dag_id: str, *, run_id: str, conf: Mapping[str, Json] | None = None) -> RunState:
        """Start a run.

        On SQLite Airflow's event loop and a task that starts can wait for each other's lock until one is told that the
        database is locked. So a request that got no answer is made again, unless its run is there by then.

        Args:
            dag_id: The DAG.
            run_id: Must be new for this DAG.
            conf: Run configuration.

        Raises:
            UnavailableError: The server did not answer three times.
            UsageError: Airflow refuses; also where a run of that id was there before.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        for _ in range(_TRIES - 1):
            try:
                return _run_state(self._json("POST", f"/api/v2/dags/{dag_id}/dagRuns", body=body))
            except UnavailableError:
                with contextlib.suppress(UsageError, UnavailableError):
                    return self.run(dag_id, run_id)
        return _run_state(self._json("POST", f"/api/v2/dags/{dag_id}/dagRuns", body=body))

    def run(self, dag_id: str, run_id: str) -> RunState:
        """The state of one run now."""
        return _run_state(self._json("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def tasks(self, dag_id: str, run_id: str) -> tuple[TaskState, ...]:
        """The task instances of one run, those that started first in front."""
        found = self._json("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 1000})
        states = [_task_state(item) for item in found["task_instances"]]
        return tuple(sorted(states, key=lambda state: (state.start is None, state.start and state.start.timestamp())))

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        patience: float,
        progress: Callable[[RunState, tuple[TaskState, ...]], None] | None = None,
    ) -> RunState:
        """Wait until a run has ended, and say what happens meanwhile.

        Args:
            dag_id: The DAG.
            run_id: The run.
            patience: Seconds.
            progress: Called twice a second with the run and its tasks, and once more at the end.

        Raises:
            UnavailableError: It did not end in time.
        """
        until = time.monotonic() + patience
        while True:
            state = self.run(dag_id, run_id)
            if progress is not None:
                progress(state, self.tasks(dag_id, run_id))
            if state.ended:
                return state
            if time.monotonic() > until:
                raise UnavailableError(f"run {run_id!r} of {dag_id!r} is still {state.state}", where=self.address)
            time.sleep(0.5)

    def log(self, dag_id: str, run_id: str, task_id: str, *, attempt: int = 1, map_index: int = -1) -> str:
        """The log of one try of a task, as text, one event a line."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        answer = self._json("GET", path, params={"full_content": True, "map_index": map_index})
        return "\n".join(_log_line(event) for event in answer["content"])

    def _is_loaded(self, dag_id: str, parsed_after: datetime | None) -> bool:
        answer = self._authorised("GET", f"/api/v2/dags/{dag_id}")
        if answer.status_code == 404:
            return False
        found = _checked(answer)
        if found.get("is_stale") or found.get("has_import_errors"):
            return False
        parsed = _moment(found.get("last_parsed_time"))
        return parsed_after is None or (parsed is not None and parsed >= parsed_after)

    def _json(
        self, method: str, path: str, *, body: object = None, params: Mapping[str, str | int | bool] | None = None
    ) -> dict[str, Any]:
        return _checked(self._authorised(method, path, body=body, params=params))

    def _authorised(
        self, method: str, path: str, *, body: object = None, params: Mapping[str, str | int | bool] | None = None
    ) -> httpx.Response:
        if "Authorization" not in self._http.headers:
            self.log_in()
        answer = self._send(method, path, body=body, params=params)
        if answer.status_code == 401:  # the token has expired
            self.log_in()
            answer = self._send(method, path, body=body, params=params)
        return answer

    def _send(
        self, method: str, path: str, *, body: object = None, params: Mapping[str, str | int | bool] | None = None
    ) -> httpx.Response:
        import httpx

        try:
            return self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise UnavailableError(f"Airflow does not answer: {error}", where=f"{self.address}{path}") from error


def _checked(answer: httpx.Response) -> dict[str, Any]:
    where = f"{answer.request.method} {answer.request.url.path}"
    if answer.status_code >= 500:
        raise UnavailableError(f"Airflow answered {answer.status_code}: {answer.text[:300]}", where=where)
    if answer.status_code >= 400:
        raise UsageError(f"Airflow refused ({answer.status_code}): {answer.text[:300]}", where=where)
    return dict(answer.json())


def _run_state(item: Mapping[str, Any]) -> RunState:
    return RunState(
        run_id=item["dag_run_id"],
        state=item["state"] or "",
        start=_moment(item.get("start_date")),
        end=_moment(item.get("end_date")),
    )


def _task_state(item: Mapping[str, Any]) -> TaskState:
    return TaskState(
        task_id=item["task_id"],
        state=item["state"] or "",
        attempt=item["try_number"],
        map_index=item["map_index"],
        start=_moment(item.get("start_date")),
        end=_moment(item.get("end_date")),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log_line(event: object) -> str:
    if not isinstance(event, Mapping):
        return str(event)
    text = str(event.get("event", ""))
    detail = event.get("error_detail")
    level = str(event.get("level", "")).upper()
    line = f"[{event.get('timestamp', '')}] {level} {text}".strip()
    return f"{line}\n{json.dumps(detail)}" if detail else line
