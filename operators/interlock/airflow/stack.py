"""A real Airflow on this machine: API server, scheduler and DAG processor as processes, for the demo and for trying.

``python -m interlock.airflow.stack --home .demo --dags dags_examples/airflow`` is what ``make airflow`` runs. It is a
development stack (LocalExecutor, SQLite, one user on 127.0.0.1), not a way to run Airflow in production.

The start order is not free: LocalExecutor's scheduler dies when the API server does not answer a task, so the
scheduler comes after it. Each process has a keeper (`interlock.airflow.keeper`) that ends it and everything below it
when the stack stops, when it fails, and when whoever started the stack is killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from interlock.airflow.api_client import AirflowClient
from interlock.airflow.stack_home import USER, StackHome
from interlock.gate.errors import InterlockError, MissingExtraError, UnavailableError, UsageError

KEEPER = Path(__file__).with_name("keeper.py")
START_PATIENCE = 240.0
STOP_GRACE = 10.0
TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class _Kept:
    """One process of the stack under its keeper."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class AirflowStack:
    """Starts and stops an Airflow; use it as a context manager.

    Args:
        home: AIRFLOW_HOME of this stack; made when missing, used again when there.
        dags: Folder of DAG files.
        port: Port of the API server on 127.0.0.1; 0 takes a free one.
        environment: Added to the environment of all processes, tasks included.
        settings: More Airflow settings by section and name; they win over the stack's own.
        parallelism: Tasks that may run at once.
        say: Gets one line of progress at a time.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        parallelism: int = 4,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.dags = dags.expanduser().absolute()
        self.user = USER
        self.password = ""
        self.started: datetime | None = None
        self._home_path = home
        self._port = port
        self._environment = dict(environment or {})
        self._settings = settings or {}
        self._parallelism = parallelism
        self._say = say
        self._home: StackHome | None = None
        self._lock: int | None = None
        self._kept: list[_Kept] = []
        self._client: AirflowClient | None = None

    @property
    def address(self) -> str:
        """Where the UI and the API are."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def home(self) -> Path:
        """Absolute AIRFLOW_HOME."""
        return self._home_path.expanduser().absolute()

    @property
    def logs(self) -> Path:
        """Folder of the log files: one per process, task logs below ``tasks/``."""
        return StackHome(path=self.home).logs

    @property
    def client(self) -> AirflowClient:
        """The API client of a started stack.

        Raises:
            UsageError: The stack was not started.
        """
        if self._client is None:
            raise UsageError("this Airflow stack is not started")
        return self._client

    def __enter__(self) -> AirflowStack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Migrate the database, start the processes, and wait until all are healthy.

        Raises:
            MissingExtraError: Airflow is not installed.
            UsageError: The DAGs folder is not there, the port is taken, or the stack runs already.
            UnavailableError: A process ended or did not become healthy; the message holds the end of its log.
        """
        if self._kept:
            raise UsageError("this Airflow stack runs already", where=self.address)
        if find_spec("airflow") is None:
            raise MissingExtraError("airflow", extra="airflow")
        if not self.dags.is_dir():
            raise UsageError("the DAGs folder is not there", where=str(self.dags))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes of the stack and all of their children; does nothing when none runs."""
        if self._client is not None:
            self._client.close()
            self._client = None
        for kept in self._kept:
            if kept.process.poll() is None:
                kept.process.terminate()
        for kept in self._kept:
            _wait(kept.process)
        self._kept.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check(self) -> None:
        """Look whether all processes still run.

        Raises:
            UnavailableError: One ended; the message holds the end of its log.
        """
        for kept in self._kept:
            status = kept.process.poll()
            if status is not None:
                raise UnavailableError(
                    f"Airflow's {kept.name} ended with status {status}; its log ends with\n{_tail(kept.log)}",
                    next_step=f"see {kept.log}",
                )

    def _start(self) -> None:
        self._home = StackHome.make(self._home_path)
        self._lock = self._home.lock()
        self._port = _free_port(self._port)
        self.password = self._home.write(
            dags=self.dags, address=self.address, parallelism=self._parallelism, overrides=self._settings
        )
        # The server's clock and ours are one machine's; a second covers what it rounds away.
        self.started = datetime.now(UTC) - timedelta(seconds=1)
        self._migrate()
        self._say("starting Airflow: API server, DAG processor, scheduler")
        self._keep("api-server", ["airflow", "api-server", "--host", "127.0.0.1", "--port", str(self._port)])
        self._keep("dag-processor", ["airflow", "dag-processor"])
        self._client = AirflowClient(address=self.address, user=self.user, password=self.password)
        self._wait_until(self._serves, "the API server answers")
        self._warm_up()
        self._keep("scheduler", ["airflow", "scheduler", "--skip-serve-logs"])
        self._wait_until(self._all_healthy, "the scheduler and the DAG processor are healthy")

    def _migrate(self) -> None:
        """Make or update the database and its quarantine pool, unless this Airflow did so in this home before."""
        from importlib.metadata import version

        mark = self.home / f"migrated-{version('apache-airflow-core')}"
        database = self.home / "airflow.db"
        if mark.exists() and database.exists():
            return
        database.touch(mode=0o600)  # SQLite keeps the mode, also for the files that it puts beside
        self._say("preparing Airflow's database")
        self._run_once("migrate", ["airflow", "db", "migrate"])
        self._run_once("setup", ["interlock.cli", "airflow", "setup"])
        mark.touch()

    def _run_once(self, name: str, arguments: Sequence[str]) -> None:
        self._keep(name, arguments)
        kept = self._kept.pop()
        try:
            status = kept.process.wait(timeout=START_PATIENCE)
        except BaseException:
            self._kept.append(kept)  # so that stop() ends it
            raise
        if status != 0:
            raise UnavailableError(
                f"{' '.join(arguments)} ended with status {status}; its log ends with\n{_tail(kept.log)}",
                next_step=f"see {kept.log}",
            )

    def _keep(self, name: str, arguments: Sequence[str]) -> None:
        """Start ``python -m`` with these arguments under a keeper."""
        log = self.logs / f"{name}.log"
        assert self._lock is not None  # noqa: S101 (for mypy; start() took it)
        command = [sys.executable, "-I", str(KEEPER), str(os.getpid()), str(STOP_GRACE)]
        with log.open("wb") as file:
            process = subprocess.Popen(
                # -P: a folder named `airflow` where the user happens to stand is not Airflow.
                [*command, sys.executable, "-P", "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._process_environment(),
                pass_fds=(self._lock,),
                start_new_session=True,  # a Ctrl-C in the terminal reaches the stack only, which stops them in order
            )
        self._kept.append(_Kept(name=name, process=process, log=log))

    def _process_environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))
        }
        bypass = ",".join(filter(None, [inherited.get("no_proxy") or inherited.get("NO_PROXY"), "127.0.0.1"]))
        ours = {"AIRFLOW_HOME": str(self.home), "NO_PROXY": bypass, "no_proxy": bypass, "PYTHONUNBUFFERED": "1"}
        return inherited | ours | self._environment

    def _wait_until(self, reached: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + START_PATIENCE
        while not reached():
            self.check()
            if time.monotonic() > until:
                raise UnavailableError(
                    f"Airflow did not come up: waited {START_PATIENCE:.0f} s until {what}", next_step=f"see {self.logs}"
                )
            time.sleep(0.2)

    def _serves(self) -> bool:
        try:
            self.client.health()
        except UnavailableError:
            return False
        return True

    def _all_healthy(self) -> bool:
        """True when both heartbeats come from this start, not from an earlier life of the same home."""
        try:
            health = self.client.health()
        except UnavailableError:
            return False
        return all(
            part.get("status") == "healthy" and self._is_new(part.get(f"latest_{name}_heartbeat"))
            for name, part in ((name, health.get(name) or {}) for name in ("scheduler", "dag_processor"))
        )

    def _is_new(self, text: str | None) -> bool:
        return bool(text) and self.started is not None and datetime.fromisoformat(str(text)) >= self.started

    def _warm_up(self) -> None:
        """Have the API server build its execution API now, not when the first task asks (3.6 s of work on 3.3.2)."""
        import httpx

        def ask() -> None:
            try:
                httpx.get(f"{self.address}/execution/health", timeout=START_PATIENCE, trust_env=False)
            except httpx.HTTPError:
                return  # only a head start was lost

        threading.Thread(target=ask, daemon=True, name="airflow-warm-up").start()


def _free_port(asked: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", asked))
        except OSError as error:
            raise UsageError(f"port {asked} is taken", where="127.0.0.1", next_step="give another --port") from error
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=STOP_GRACE + 5)
    except subprocess.TimeoutExpired:
        process.kill()  # the keeper itself hangs; what it kept gets SIGTERM from the kernel
        process.wait()


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"({error})"
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a stack until Ctrl-C; return an exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m interlock.airflow.stack", description="Run a local Airflow.")
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="folder for everything it writes")
    parser.add_argument("--dags", type=Path, required=True, help="folder of DAG files")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; a free one when not given")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    # A stack like this signs with the dev key, which no other profile accepts.
    profile = os.environ.get("INTERLOCK_PROFILE") or "dev"
    environment = {"INTERLOCK_PROFILE": profile}
    stack = AirflowStack(chosen.home, chosen.dags, port=chosen.port, environment=environment, say=_print)
    try:
        with stack:
            _print(f"\nAirflow is at  {stack.address}")
            _print(f"log in as      {stack.user}   password  {stack.password}")
            _print(f"logs are in    {stack.logs}")
            _print(f"policy profile {profile}   (INTERLOCK_PROFILE sets another)")
            _print("Ctrl-C stops it.")
            while True:
                time.sleep(1)
                stack.check()
    except KeyboardInterrupt:
        _print("\nstopped")
        return 0
    except InterlockError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_status


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
