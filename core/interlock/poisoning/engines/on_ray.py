"""The scan on Ray: tasks read shares of the files, others join their states in pairs, the driver finishes.

A worker that dies takes its task with it, and Ray runs that task again elsewhere: a task reads held bytes and returns a
state, so running it twice changes nothing.

Without an address a cluster of this machine's processors starts for one scan: on loopback, with a token of its own, in
a private folder, without dashboard and usage reports, and gone afterwards. With an address, what must hold there:

- this process runs on a node of the cluster (Ray's client, ``ray://``, is refused);
- every node sees the store (setting ``store``) at the same path, and its workers run as the same user: held copies are
  private. A worker that cannot open a file, or finds other bytes than the driver's manifest says, ends the scan;
- every node has the same version of Interlock, with the extras ``torch`` and ``ray``;
- whoever may submit work to the cluster is trusted as this process is: Ray's workers can send it anything. Use Ray's
  own token authentication (``RAY_AUTH_MODE=token``) and network rules.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from types import TracebackType
from typing import Any, Self

from interlock.gate import MissingExtraError, UnavailableError, UsageError
from interlock.poisoning.batches import BatchSource, Source
from interlock.poisoning.engines.engine import Look
from interlock.poisoning.engines.seals import sealed
from interlock.poisoning.engines.shares import files_of, shares_of
from interlock.poisoning.engines.tasks import Job, join, look_at, states_of

SHARES_PER_WORKER = 3
"""More shares than workers, so that a share that must be read again, or a slow node, costs little."""

RETRIES = 3
"""How often Ray runs a task again whose worker died."""

CONNECT_SECONDS = 10

MAX_OBJECT_STORE_BYTES = 8 * 2**30
"""Of a cluster on this machine; what does not fit goes to its private folder."""


class RayEngine:
    """Runs passes as tasks of a Ray cluster.

    Args:
        address: ``host:port`` of the head node or ``auto``; a cluster of this machine's own when None.
        workers: Processors of that own cluster; all that this process may use when None.
        device: The torch device that looks compute on; with ``cuda`` each task that reads asks for one GPU.

    Raises:
        UsageError: The arguments cannot be.
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None, device: str = "cpu") -> None:
        if address is not None and (not address or address == "local" or "://" in address):
            raise UsageError(
                f"{address!r} is no address of a Ray cluster",
                where="ray_address",
                next_step="give host:port of the head node or auto; leave it out for a cluster on this machine",
            )
        if workers is not None and workers < 1:
            raise UsageError("a cluster needs at least one worker", where=f"workers={workers}")
        if device.startswith("cuda:"):
            raise UsageError(
                f"on Ray a task gets the GPU that Ray gives it, not {device}", where="device", next_step="say cuda"
            )
        self._address = address
        self._workers = workers
        self._gpus = 1 if device == "cuda" else 0
        self._open = ExitStack()
        self._alone = address is None

    @property
    def name(self) -> str:
        """``ray``."""
        return "ray"

    def __enter__(self) -> Self:
        try:
            # Ray tells of dead workers on standard output, where a report may have to stand alone.
            self._open.enter_context(redirect_stdout(sys.stderr))
            if not os.environ.get("RAY_USAGE_STATS_ENABLED"):
                self._open.enter_context(_environment({"RAY_USAGE_STATS_ENABLED": "0"}))
            self._open.enter_context(_own_cluster(self._workers) if self._alone else _cluster(self._address or "auto"))
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def fold(
        self, source: BatchSource, looks: Sequence[Look[Any]], *, lengths: Sequence[int] | None = None
    ) -> tuple[Any, ...]:
        """One pass, a task for each share; see `Engine`."""
        from interlock.evidence.receipt import own_tool

        if not isinstance(source, Source):
            raise UsageError(
                "rows that Python code makes are not on other processes", where="engine", next_step="scan them here"
            )
        ray = _ray()
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        shares = shares_of(source, workers * SHARES_PER_WORKER, readers=workers, lengths=lengths)
        seals = sealed(source.opened, files_of(source), hashed=not self._alone)
        # Ray's own pickle takes along a detector that is defined in a script or a notebook.
        job = ray.put(ray.cloudpickle.dumps(Job(looks=tuple(looks), seals=seals, version=own_tool().version)))
        look = _task(look_at, num_gpus=self._gpus)
        answers = [look(job, share, number) for number, share in enumerate(shares)]
        return states_of(_waited(_tree(job, answers)))


def _tree(job: Any, answers: list[Any]) -> Any:
    """The answers joined in pairs, neighbours first, until one is left."""
    pair = _task(join)
    while len(answers) > 1:
        pairs = [answers[at : at + 2] for at in range(0, len(answers), 2)]
        answers = [two[0] if len(two) == 1 else pair(job, *two) for two in pairs]
    return answers[0]


def _task(function: Callable[..., bytes], **resources: float) -> Callable[..., Any]:
    """`function` as a task that Ray runs again when its worker dies, and only then."""
    remote: Callable[..., Any] = (
        _ray().remote(function).options(max_retries=RETRIES, retry_exceptions=False, num_cpus=1, **resources).remote
    )
    return remote


def _waited(answer: Any) -> bytes:
    """What the last task says.

    Raises:
        UsageError: A worker lacks Interlock.
        UnavailableError: Workers died again and again, or the cluster is gone.
    """
    from ray import exceptions

    try:
        text: bytes = _ray().get(answer)
    except exceptions.RayError as error:
        # A task whose input is a dead worker's fails as a task, with that death as its cause.
        cause = getattr(error, "cause", None)
        if isinstance(error, exceptions.RayTaskError) and not isinstance(cause, exceptions.RayError):
            raise UsageError(
                f"a worker cannot run a task of Interlock: {str(cause or error).strip().splitlines()[-1]}",
                where="ray",
                next_step="install interlock[torch,ray], in one version, on every node",
            ) from error
        raise UnavailableError(
            f"the Ray cluster gave up after {RETRIES} more tries: {_first_line(cause or error)}",
            where="ray",
            next_step="look into its logs: workers that run out of memory need smaller row groups, or more memory",
        ) from error
    return text


@contextmanager
def _own_cluster(workers: int | None) -> Iterator[None]:
    """A cluster of this machine, for this process only."""
    values = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), **_QUIET}
    with ExitStack() as stack:
        stack.enter_context(_environment(values))
        ray = _ray()
        if ray.is_initialized():
            raise UsageError(
                "this process is connected to a Ray cluster already",
                where="ray",
                next_step="call ray.shutdown() first, or name that cluster with ray_address",
            )
        stack.enter_context(_loopback())
        _read_environment_again()
        folder = tempfile.mkdtemp(prefix="interlock-ray-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            ray.init(
                address="local",
                num_cpus=workers or len(os.sched_getaffinity(0)),
                object_store_memory=_object_store_bytes(),
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise UnavailableError(
                f"no Ray cluster starts on this machine: {_first_line(error)}",
                where="ray",
                next_step="make room in memory and in the temporary folder, or scan with the engine local",
            ) from error
        stack.callback(ray.shutdown)
        yield


_QUIET = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Loopback for the processes of a cluster (the name is from the systems where that is the default), and no warning."""


@contextmanager
def _loopback() -> Iterator[None]:
    """Let Ray take 127.0.0.1 for this machine's address; it reads the variable for that only when it is imported."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _read_environment_again() -> None:
    """Let a Ray that was imported before forget the token that it read then."""
    try:
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # of compiled code
    except ImportError:  # a Ray from before tokens
        return
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """A cluster that somebody else keeps."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    _read_environment_again()
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise UnavailableError(
            f"the Ray cluster cannot be reached: {_first_line(error)}",
            where=address,
            next_step="check the address, and RAY_AUTH_TOKEN where it asks for a token",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ask whether anybody listens: Ray itself waits for minutes before it says so.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            pass


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", extra="ray") from error
    return ray


def _object_store_bytes() -> int:
    """A third of what the shared memory has room for, within Ray's own lower limit."""
    room = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 2**30  # noqa: S108, PTH112 (Linux)
    return max(80 * 2**20, min(room // 3, MAX_OBJECT_STORE_BYTES))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for as long as the context lasts; Ray reads them here and in its processes."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
