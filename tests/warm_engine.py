"""Helpers of the policy engine that serve more than one test: OPA compiles a policy once, not once for each of them.

Every test opens a deployment of its own, and nearly all of them ask the shipped policy. The answers come from the real
engine as ever: what is shared is a helper process with that very policy in it, which keeps nothing from one question to
the next. Tests of the engine itself, in `tests/policy/engines`, start and end their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interlock.policy.engines.embedded import EmbeddedEngine
from interlock.policy.engines.evaluator import Evaluator

MOST = 4
"""Helpers that wait at once: each holds some 60 MB, and hardly a test asks more than two policies."""

_new, _close = EmbeddedEngine._new, EmbeddedEngine.close
_waiting: list[Evaluator] = []


@contextmanager
def shared() -> Iterator[None]:
    """Until the end of the block, what an engine gives up is there for the next one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddedEngine, "_new", _new_or_waiting)
        patch.setattr(EmbeddedEngine, "close", _close_and_keep)
        yield
    while _waiting:
        _waiting.pop().end()


@contextmanager
def not_shared() -> Iterator[None]:
    """Within the block every engine starts its own helpers and ends them, as outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddedEngine, "_new", _new)
        patch.setattr(EmbeddedEngine, "close", _close)
        yield


def _new_or_waiting(engine: EmbeddedEngine) -> Evaluator:
    wanted = _new(engine)  # starts nothing yet
    for held in reversed(_waiting):
        if _alive(held) and _same(held, wanted):
            _waiting.remove(held)
            return held
    return wanted


def _close_and_keep(engine: EmbeddedEngine) -> None:
    with engine._turn:
        closed, engine._idle, engine._all = engine._idle, [], []
    for held in closed:
        if _alive(held):
            _waiting.append(held)
        else:
            held.end()
    while len(_waiting) > MOST:
        _waiting.pop(0).end()


def _alive(held: Evaluator) -> bool:
    helper = held._helper
    return helper is not None and helper.owner == os.getpid() and helper.alive


def _same(held: Evaluator, wanted: Evaluator) -> bool:
    def limits(each: Evaluator) -> tuple[object, ...]:
        return each._bundle.digest, each._bundle.modules, each._deadline, each._library, each._answer_limit

    return limits(held) == limits(wanted)
