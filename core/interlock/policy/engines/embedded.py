"""The embedded engine: the real OPA, as a Go library in helper processes that can be killed.

The library never enters this process. A Go runtime hangs after `os.fork`, and Airflow forks; an evaluation in Go
cannot be interrupted, and a policy may never end. So a helper is spawned on the first question, answers until it is
killed or its parent goes, and is replaced on the next question if it is gone. A second one is started only when a
question comes while all that run are busy, up to a limit; then callers wait for their turn.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from interlock.gate.errors import PolicyError
from interlock.gate.settings import Settings
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.engine import Answer
from interlock.policy.engines import evaluator
from interlock.policy.engines.evaluator import Evaluator
from interlock.policy.engines.forbidden import query_as_module, suspicious
from interlock.policy.engines.install import Library, locate
from interlock.policy.engines.question import ANSWER_LIMIT, answer_of, dotted_path, encoded

MOST_HELPERS = 4
"""How many helpers run at once where nobody says a number; each takes some 60 MB."""


class EmbeddedEngine:
    """OPA in helper processes; see the module.

    Args:
        bundle: What it evaluates.
        deadline: Seconds that one evaluation may take; then its helper is killed.
        library: The OPA library; found by `interlock.policy.engines.install.locate` when not given.
        answer_limit: Bytes that one answer may have.
        helpers: How many helpers may run at once; 0 means one for each processor, `MOST_HELPERS` at most.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        deadline: float = 5.0,
        library: Library | None = None,
        answer_limit: int = ANSWER_LIMIT,
        helpers: int = 0,
    ) -> None:
        self._bundle = bundle
        self._deadline = deadline
        self._library = library if library is not None else locate(Settings.load())
        self._answer_limit = answer_limit
        self._limit = helpers or max(1, min(MOST_HELPERS, _processors()))
        self._turn = threading.Condition()
        self._all: list[Evaluator] = []
        self._idle: list[Evaluator] = []
        self._said: Mapping[str, Json] = {}
        _ENGINES.add(self)

    @property
    def name(self) -> str:
        """As in receipts."""
        return "opa-embedded"

    @property
    def version(self) -> str:
        """OPA's version as the library says; empty before the first start."""
        return str(self._said.get("version", ""))

    @property
    def bundle_digest(self) -> str:
        """That of the bundle it was made with."""
        return self._bundle.digest

    @property
    def isolation(self) -> str:
        """What is around the helpers: ``bwrap`` or ``process``; empty before the first start."""
        return str(self._said.get("isolation", ""))

    @property
    def network(self) -> str:
        """What the helpers can reach: ``none`` or ``host``; empty before the first start."""
        return str(self._said.get("network", ""))

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The process id of each helper that there is."""
        return tuple(found for each in tuple(self._all) if (found := each.process_id) is not None)

    @property
    def process_id(self) -> int | None:
        """The process id of the helper that was started first; `None` while there is none."""
        return next(iter(self.process_ids), None)

    def start(self) -> None:
        """Start one helper now, to learn whether it can be.

        Raises:
            PolicyError: The library or the bundle cannot be loaded.
        """
        with self._held() as held:
            held.start()

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        """Ask for the document at ``data.<path>``; see `interlock.policy.engine.PolicyEngine`.

        Raises:
            PolicyError: As the protocol says.
        """
        question, body = {"kind": "document", "path": dotted_path(path)}, encoded(document)
        with self._held() as held:
            return answer_of(held.ask(question, body), bundle_digest=self._bundle.digest)

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        """Evaluate any query; the result set in the form of ``opa eval``.

        Args:
            query: Rego, for example ``data.interlock.decision.result`` or ``x := input.y + 1``.
            document: What is read as ``input``.

        Raises:
            PolicyError: As `evaluate`, and for a query that uses a banned builtin.
        """
        body = encoded(document)
        with self._held() as held:
            if suspicious(query):
                held.refuse_banned(query_as_module(query))
            return held.ask({"kind": "query", "query": query}, body)

    def close(self) -> None:
        """End the idle helpers now, and a busy one as soon as it has answered; the next question starts another."""
        with self._turn:
            closed, self._idle, self._all = self._idle, [], []
        for each in closed:
            each.end()

    @contextmanager
    def _held(self) -> Iterator[Evaluator]:
        """An evaluator for this thread alone."""
        held = self._take()
        try:
            yield held
        finally:
            self._give_back(held)

    def _take(self) -> Evaluator:
        patience = self._deadline + evaluator.COMPILE_SECONDS
        until = time.monotonic() + patience
        with self._turn:
            while not self._idle:
                if len(self._all) < self._limit:
                    self._all.append(self._new())
                    return self._all[-1]
                if not self._turn.wait(until - time.monotonic()):
                    raise PolicyError(
                        f"no helper of the policy engine was free within {patience:g} seconds ({self._limit} at work)",
                        next_step="raise engine_helpers in the settings, or look for a policy that does not end",
                    )
            return self._idle.pop()  # the last one used: a lone caller warms one helper only

    def _give_back(self, held: Evaluator) -> None:
        with self._turn:
            self._said = held.said or self._said
            wanted = held in self._all
            if wanted:
                self._idle.append(held)
                self._turn.notify()
        if not wanted:  # closed meanwhile
            held.end()

    def _new(self) -> Evaluator:
        return Evaluator(self._bundle, deadline=self._deadline, library=self._library, answer_limit=self._answer_limit)

    def _in_forked_child(self) -> None:
        """Leave the helpers to the parent, and the lock, which a thread may hold that is not in this process."""
        self._turn = threading.Condition()
        left, self._all, self._idle = self._all, [], []
        for each in left:
            each.let_go()


_ENGINES: weakref.WeakSet[EmbeddedEngine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in tuple(_ENGINES):
        engine._in_forked_child()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)


def _processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
