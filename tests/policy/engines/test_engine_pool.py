"""The embedded engine's helpers at once: nobody gets another's answer, one that hangs stops nobody else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from interlock.gate import PolicyError
from interlock.policy import Answer, EmbeddedEngine
from interlock.policy.engines import evaluator

MakeEngine = Callable[..., EmbeddedEngine]
SLOW = """package a

twice := input.n * 2

endless if {
	input.endless
	count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i != j]) > 0
}
"""


@contextmanager
def endless(engine: EmbeddedEngine) -> Iterator[Future[Answer]]:
    """One question that does not end, on its way in another thread while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(engine.evaluate, "a.endless", {"endless": True})
        until = time.monotonic() + 30
        while not (engine._all and engine._all[0]._number >= 2) and time.monotonic() < until:
            time.sleep(0.01)
        yield asked
        for process in engine.process_ids:
            os.killpg(process, signal.SIGKILL)


def test_one_caller_after_another_needs_one_helper(make_engine: MakeEngine) -> None:
    engine = make_engine(SLOW, helpers=4)
    for n in range(20):
        assert engine.evaluate("a.twice", {"n": n}).value == 2 * n
    assert len(engine.process_ids) == 1


def test_four_callers_at_once_get_their_own_answers_from_at_most_that_many_helpers(make_engine: MakeEngine) -> None:
    engine = make_engine(SLOW, helpers=3)
    gate = threading.Barrier(4)

    def ask(offset: int) -> list[int]:
        gate.wait()
        return [n for n in range(offset, offset + 200) if engine.evaluate("a.twice", {"n": n}).value != 2 * n]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, (0, 1000, 2000, 3000))) == [[], [], [], []]
    assert 1 < len(engine.process_ids) <= 3


def test_a_question_that_never_ends_does_not_hold_up_another_caller(make_engine: MakeEngine) -> None:
    engine = make_engine(SLOW, deadline=60, helpers=2)
    with endless(engine) as asked:
        assert engine.evaluate("a.twice", {"n": 4}).value == 8
        assert not asked.done()
    assert isinstance(asked.exception(), PolicyError)


def test_when_every_helper_is_busy_the_wait_ends_with_a_reason(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(SLOW, deadline=60, helpers=1)
    with endless(engine):
        monkeypatch.setattr(evaluator, "COMPILE_SECONDS", -59.8)
        with pytest.raises(PolicyError, match=r"no helper .* was free within 0\.2 seconds .*engine_helpers"):
            engine.evaluate("a.twice", {"n": 4})
    assert engine.evaluate("a.twice", {"n": 5}).value == 10


def test_only_the_helper_that_passed_its_deadline_is_killed(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "COMPILE_SECONDS", 0.0)
    engine = make_engine(SLOW, deadline=1.5, helpers=2)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(engine.evaluate, "a.endless", {"endless": True})
        while not asked.done():
            assert engine.evaluate("a.twice", {"n": 3}).value == 6
        others = engine.process_ids
        with pytest.raises(PolicyError, match=r"did not answer within 1\.5 seconds"):
            asked.result()
    assert engine.evaluate("a.twice", {"n": 3}).value == 6
    assert set(others) <= set(engine.process_ids)


def test_closing_while_a_question_is_answered_leaves_no_helper(make_engine: MakeEngine) -> None:
    engine = make_engine(SLOW, deadline=60, helpers=2)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(engine.evaluate, "a.twice", {"n": 1})
        while not engine.process_ids:
            time.sleep(0.005)
        process = engine.process_ids[0]
        engine.close()
        assert asked.result().value == 2
    assert engine.process_ids == ()
    assert not Path(f"/proc/{process}").exists()


def test_a_forked_child_has_none_of_the_helpers(make_engine: MakeEngine) -> None:
    engine = make_engine(SLOW, deadline=60, helpers=2)
    with endless(engine):
        ours = engine.process_ids
        child = os.fork()
        if child == 0:
            status = 1
            try:
                right = engine.process_ids == () and engine.evaluate("a.twice", {"n": 2}).value == 4
                engine.close()
                status = 0 if right else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert engine.process_ids == ours
