"""The binary engine: one ``opa eval`` for each question, by the program that is on PATH or that the settings name.

The compiler of that program is told of no builtin that policy may not use (`interlock.policy.engines.forbidden`), of no
host to fetch schemas from, and gets no environment. Starting a program for each question is slower than a helper that
stays; in return nothing has to be installed but OPA itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from interlock.gate.errors import PolicyError, SettingsError
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle, Module
from interlock.policy.engine import Answer
from interlock.policy.engines.forbidden import BANNED, check_parsed, query_as_module, suspicious
from interlock.policy.engines.program import Finished, run_to_end
from interlock.policy.engines.question import ANSWER_LIMIT, answer_of, decoded, dotted_path, encoded, refusal, rows_of

START_SECONDS = 30.0
"""How long the program may take for what is no evaluation: saying its version, its builtins, parsing a module."""

GRACE_SECONDS = 1.0
"""How long after the deadline it is killed, if it has not ended by itself as it was told to."""

_CAPABILITIES_LIMIT = 4 * 1024 * 1024
_VERSION = re.compile(r"^Version: (\d+)\.(\S+)$", re.MULTILINE)
_NAME = "opa"


class BinaryEngine:
    """Runs ``opa eval``; thread safe, and safe over `os.fork`: each process writes the bundle to a folder of its own.

    Args:
        bundle: What it evaluates.
        program: Path of ``opa``, as `find_program` returns it.
        deadline: Seconds that one evaluation may take, the start of the program and compiling included.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(
        self, bundle: Bundle, *, program: Path, deadline: float = 5.0, answer_limit: int = ANSWER_LIMIT
    ) -> None:
        self._bundle = bundle
        self._program = program
        self._deadline = deadline
        self._answer_limit = answer_limit
        self._version = ""
        self._lock = threading.Lock()
        self._prepared: tuple[int, Path] | None = None
        self._remove: weakref.finalize[[int, Path], BinaryEngine] | None = None
        _ENGINES.add(self)

    @property
    def name(self) -> str:
        """As in receipts."""
        return "opa-binary"

    @property
    def version(self) -> str:
        """OPA's version as the program says; empty before the first question."""
        return self._version

    @property
    def bundle_digest(self) -> str:
        """That of the bundle it was made with."""
        return self._bundle.digest

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        """Ask for the document at ``data.<path>``; see `interlock.policy.engine.PolicyEngine`.

        Raises:
            PolicyError: As the protocol says.
        """
        query = "data" + "".join(f'["{name}"]' for name in dotted_path(path).split("."))
        rows, metrics = self._eval(query, encoded(document))
        return answer_of(rows, bundle_digest=self._bundle.digest, metrics=metrics)

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        """Evaluate any query; the result set in the form of ``opa eval``.

        Args:
            query: Rego, for example ``data.interlock.decision.result`` or ``x := input.y + 1``.
            document: What is read as ``input``.

        Raises:
            PolicyError: As `evaluate`, and for a query that uses a banned builtin.
        """
        body = encoded(document)
        if suspicious(query):
            with tempfile.TemporaryDirectory(prefix="interlock-opa-") as folder:
                self._refuse_banned(query_as_module(query), Path(folder))
        return self._eval(query, body)[0]

    def close(self) -> None:
        """Remove the folder; the next question writes it again."""
        with self._lock:
            self._forget()

    def _eval(self, query: str, body: bytes) -> tuple[list[dict[str, Any]], dict[str, int]]:
        folder = self._ready()
        flags = ("--stdin-input", "--format=json", "--strict-builtin-errors", "--metrics")
        sources = (f"--bundle={folder / 'bundle'}", f"--capabilities={folder / 'capabilities.json'}")
        command = (
            str(self._program),
            "eval",
            *flags,
            f"--timeout={max(0.001, self._deadline):.3f}s",
            *sources,
            "--",
            query,
        )
        seconds = self._deadline + GRACE_SECONDS
        done = run_to_end(command, body=body, seconds=seconds, limit=self._answer_limit, folder=folder)
        said = _document(done, str(self._program))
        _raise_errors(said, self._deadline, done)
        metrics = said.get("metrics")
        timers = {k: v for k, v in metrics.items() if type(v) is int} if isinstance(metrics, Mapping) else {}
        return rows_of(said.get("result")), timers

    def _ready(self) -> Path:
        """The folder of this process with bundle and capabilities in it."""
        with self._lock:
            held = self._prepared
            if held is not None and held[0] == os.getpid() and (held[1] / "bundle").is_dir():
                return held[1]
            self._forget()
            version = _version(self._program)
            folder = Path(tempfile.mkdtemp(prefix="interlock-opa-"))
            self._remove = weakref.finalize(self, _remove_own, os.getpid(), folder)
            try:
                self._write(folder)
            except BaseException:
                self._forget()
                raise
            self._version, self._prepared = version, (os.getpid(), folder)
            return folder

    def _write(self, folder: Path) -> None:
        for number, module in enumerate((*self._bundle.modules, *self._bundle.tests)):
            if suspicious(module.source):
                self._refuse_banned(module, folder / f"parsed{number}")
        (folder / "capabilities.json").write_bytes(_capabilities(self._program))
        root = folder / "bundle"
        for module in self._bundle.modules:
            _write_module(module, root)
        root.mkdir(exist_ok=True)
        (root / "data.json").write_bytes(encoded(self._bundle.data))

    def _refuse_banned(self, module: Module, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        source = folder / "module.rego"
        source.write_text(module.source, encoding="utf-8")
        command = (str(self._program), "parse", "--format=json", str(source))
        done = run_to_end(command, seconds=START_SECONDS, limit=_CAPABILITIES_LIMIT * 16, folder=folder)
        tree = _document(done, str(self._program))
        _raise_errors(tree, START_SECONDS, done)
        check_parsed(tree, where=module.path)

    def _forget(self) -> None:
        self._prepared = None
        if self._remove is not None:
            self._remove()

    def _in_forked_child(self) -> None:
        """Leave the folder to the parent, and the lock, which a thread may hold that is not in this process."""
        self._lock = threading.Lock()
        self._prepared = None
        if self._remove is not None:
            self._remove.detach()


_ENGINES: weakref.WeakSet[BinaryEngine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in tuple(_ENGINES):
        engine._in_forked_child()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)


def find_program(named: str = "") -> Path:
    """The ``opa`` program.

    Args:
        named: Path from the settings; empty means the one on PATH.

    Raises:
        SettingsError: It is not there, or cannot be executed.
    """
    found = shutil.which(str(Path(named).expanduser()) if named else _NAME)
    if found is not None:
        return Path(found).absolute()
    what = f"no program that can be run is at {named}" if named else "no opa program is on PATH"
    raise SettingsError(
        what,
        where="opa_binary" if named else "engine",
        next_step="go install github.com/open-policy-agent/opa@latest, or name the program in opa_binary",
    )


def is_there(named: str = "") -> bool:
    """Whether `find_program` would find one. One that is named and missing is an error, not an absence."""
    return bool(named) or shutil.which(_NAME) is not None


def _version(program: Path) -> str:
    done = run_to_end((str(program), "version"), seconds=START_SECONDS, limit=1 << 16)
    found = _VERSION.search(done.output.decode("utf-8", "replace"))
    if done.status != 0 or found is None:
        raise PolicyError("that program is not OPA", where=str(program), next_step="check opa_binary")
    if int(found.group(1)) < 1:
        raise PolicyError(
            f"OPA {found.group(1)}.{found.group(2)} is too old for Rego v1",
            where=str(program),
            next_step="install OPA 1.0 or newer",
        )
    return f"{found.group(1)}.{found.group(2)}"


def _capabilities(program: Path) -> bytes:
    """What this OPA can, less what policy may not do."""
    done = run_to_end((str(program), "capabilities", "--current"), seconds=START_SECONDS, limit=_CAPABILITIES_LIMIT)
    said = _document(done, str(program))
    builtins = said.get("builtins")
    if done.status != 0 or not isinstance(builtins, list) or not builtins:
        raise PolicyError("that program does not say its builtins", where=str(program), next_step="check opa_binary")
    allowed = [each for each in builtins if isinstance(each, dict) and _first_name(each) not in BANNED]
    return json.dumps({**said, "builtins": allowed, "allow_net": []}).encode()


def _first_name(builtin: Mapping[str, Json]) -> str:
    return str(builtin.get("name", "")).partition(".")[0]


def _document(done: Finished, program: str) -> Mapping[str, Json]:
    """What the program printed, which is one JSON object whatever its status."""
    if done.status < 0:
        raise PolicyError(f"the opa program was killed by signal {-done.status}", where=done.complaints or program)
    if not done.output.strip():
        raise PolicyError(
            f"the opa program ended with status {done.status} and said nothing", where=done.complaints or program
        )
    said = decoded(done.output)
    if not isinstance(said, Mapping):
        raise PolicyError("the policy engine answered in another shape", where=str(said)[:200])
    return said


def _raise_errors(said: Mapping[str, Json], deadline: float, done: Finished) -> None:
    errors = said.get("errors")
    listed = [error for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    if any(error.get("code") == "eval_cancel_error" for error in listed):
        raise PolicyError(f"the policy engine did not answer within {deadline:g} seconds")
    if errors:
        messages = "; ".join(str(error.get("message", error)) for error in listed)
        raise refusal(messages[:1000] or str(errors)[:1000], where=str(listed[0].get("code", "")) if listed else "")
    if done.status != 0:
        raise PolicyError(f"the opa program ended with status {done.status}", where=done.complaints)


def _write_module(module: Module, root: Path) -> None:
    path = PurePosixPath(module.path)
    if path.is_absolute() or ".." in path.parts or path.suffix != ".rego":
        raise PolicyError("a module whose path leaves the bundle or is no Rego file", where=module.path)
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(module.source, encoding="utf-8")


def _remove_own(owner: int, folder: Path) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
