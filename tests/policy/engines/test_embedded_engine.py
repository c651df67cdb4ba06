"""The embedded engine: real OPA in a helper process, and every way in which that process can fail."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import PolicyError
from interlock.policy import Bundle, EmbeddedEngine, Library
from interlock.policy.engines import evaluator, helper_process, question

MakeEngine = Callable[..., EmbeddedEngine]
DOUBLE = "package a\n\ntwice := input.n * 2\n"
ENDLESS = """package a

answer := 1 if not input.endless
answer := n if {
	input.endless
	n := count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i != j])
}
"""


def gone(process_id: int) -> bool:
    """Whether a process ends within some seconds (a zombie of another parent counts as ended)."""
    for _ in range(200):
        try:
            if Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_it_is_opa_and_says_which(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    assert engine.version == ""
    engine.start()
    assert (engine.name, engine.version) == ("opa-embedded", "1.20.2")
    assert engine.isolation in {"bwrap", "process"}
    assert engine.network in {"none", "host"}


def test_a_document_is_evaluated_with_or_without_data_in_front(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    assert engine.evaluate("data.a.twice", {"n": 21}).value == 42
    assert engine.evaluate("a.twice", {"n": 4}).value == 8


def test_undefined_is_not_a_value(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    assert not engine.evaluate("a.twice", {}).defined
    assert not engine.evaluate("a.nothing", {"n": 1}).defined
    assert make_engine("package a\n\nx := null\n").evaluate("a.x", {}).defined


@pytest.mark.parametrize("path", ["", "data.", "a..b", "a b", "a;b", 'a["b"]', "a\nb", "a.b\n", "http.send({})"])
def test_a_path_is_dotted_names(make_engine: MakeEngine, path: str) -> None:
    with pytest.raises(PolicyError, match="dotted names"):
        make_engine(DOUBLE).evaluate(path, {})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("package a\n\nx := 1 / input.zero\n", "divide by zero", id="error of a builtin"),
        pytest.param("package a\n\nx := time.parse_rfc3339_ns(input.text)\n", "parse", id="unreadable time"),
        pytest.param("package a\n\nx := 1\nx := 2 if input.text\n", "conflict", id="conflicting rules"),
        pytest.param("package a\n\nx := 1 if {\n", "unexpected", id="syntax error"),
        pytest.param("package a\n\nx if { input.y }\n\nx contains 1\n", "conflict", id="two kinds of one rule"),
        pytest.param("package a\n\nx := no_such_function(1)\n", "undefined function", id="unknown function"),
        pytest.param("package a\n\nx { input.y }\n", "if", id="rego v0"),
    ],
)
def test_what_opa_refuses_is_a_policy_error(make_engine: MakeEngine, source: str, message: str) -> None:
    engine = make_engine(source)
    for _ in range(2):
        with pytest.raises(PolicyError, match=message):
            engine.evaluate("a.x", {"zero": 0, "text": "now"})


@pytest.mark.parametrize(
    "expression",
    [
        'http.send({"method": "get", "url": "http://127.0.0.1/"})',
        'http["send"]({"method": "get", "url": "http://127.0.0.1/"})',
        "opa.runtime()",
        'net.lookup_ip_addr("localhost")',
        'net.cidr_contains("10.0.0.0/8", "10.1.1.1")',
    ],
)
def test_a_banned_builtin_is_refused_before_anything_runs(make_engine: MakeEngine, expression: str) -> None:
    with pytest.raises(PolicyError, match="policy may not use"):
        make_engine(f"package a\n\nx := {expression}\n").evaluate("a.x", {})
    with pytest.raises(PolicyError, match="policy may not use"):
        make_engine(DOUBLE).query(f"x := {expression}", {})


def test_a_banned_builtin_behind_with_is_refused(make_engine: MakeEngine) -> None:
    source = "package a\n\nsay(_) := 1\n\nx := y if y := say({}) with data.a.say as http.send\n"
    with pytest.raises(PolicyError, match=r"policy may not use http\.send"):
        make_engine(source).evaluate("a.x", {})


def test_a_banned_builtin_in_a_query_that_breaks_out_of_its_rule_is_refused(make_engine: MakeEngine) -> None:
    with pytest.raises(PolicyError):
        make_engine(DOUBLE).query("true\n}\n\nx if {\n  http.send({})", {})


def test_a_banned_name_in_texts_and_comments_is_no_call(make_engine: MakeEngine) -> None:
    engine = make_engine('package a\n\n# http.send and opa.runtime\nx := "net.lookup_ip_addr"\n')
    assert engine.evaluate("a.x", {}).value == "net.lookup_ip_addr"
    assert engine.query('y := "http.send"', {})[0]["bindings"] == {"y": "http.send"}


def test_the_helper_has_no_environment_of_ours(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, library: Library
) -> None:
    monkeypatch.setenv("INTERLOCK_TEST_SECRET", "hush")
    engine = make_engine(DOUBLE)
    engine.start()
    assert engine.process_id is not None
    environment = Path(f"/proc/{engine.process_id}/environ").read_bytes()
    assert b"hush" not in environment
    assert b"PATH" not in environment


def test_a_policy_that_never_ends_is_killed_and_the_next_call_works(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(ENDLESS, deadline=0.5)
    assert engine.evaluate("a.answer", {"endless": False}).value == 1
    first = engine.process_id
    assert first is not None
    with pytest.raises(PolicyError, match=r"did not answer within 0\.5 seconds"):
        engine.evaluate("a.answer", {"endless": True})
    assert engine.process_id is None
    assert gone(first)
    assert engine.evaluate("a.answer", {"endless": False}).value == 1


def test_a_helper_killed_between_calls_is_replaced_silently(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    engine.evaluate("a.twice", {"n": 1})
    first = engine.process_id
    assert first is not None
    os.killpg(first, signal.SIGKILL)
    assert gone(first)
    assert engine.evaluate("a.twice", {"n": 2}).value == 4
    assert engine.process_id != first


def test_a_helper_killed_in_the_middle_is_an_error_and_the_next_call_works(make_engine: MakeEngine) -> None:
    engine = make_engine(ENDLESS, deadline=30)
    engine.evaluate("a.answer", {"endless": False})
    process = engine.process_id
    assert process is not None
    killer = threading.Timer(0.3, os.killpg, (process, signal.SIGKILL))
    killer.start()
    with pytest.raises(PolicyError, match="helper died"):
        engine.evaluate("a.answer", {"endless": True})
    killer.join()
    assert engine.evaluate("a.answer", {"endless": False}).value == 1


def test_an_answer_that_is_too_large_is_refused_and_the_next_call_works(make_engine: MakeEngine) -> None:
    source = 'package a\n\nx := [sprintf("%d", [i]) | some i in numbers.range(1, input.n)]\n'
    engine = make_engine(source, answer_limit=100_000)
    with pytest.raises(PolicyError, match="larger than 100000 bytes"):
        engine.evaluate("a.x", {"n": 100_000})
    assert engine.evaluate("a.x", {"n": 1}).value == ["1"]


def test_an_input_larger_than_a_pipe_arrives_whole(make_engine: MakeEngine) -> None:
    engine = make_engine("package a\n\nx := count(input.rows)\n")
    assert engine.evaluate("a.x", {"rows": [f"row {n} äöü" for n in range(200_000)]}).value == 200_000


def test_an_input_that_is_too_large_is_refused(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "INPUT_LIMIT", 1000)
    with pytest.raises(PolicyError, match="larger than 1000 bytes"):
        make_engine(DOUBLE).evaluate("a.twice", {"n": 1, "text": "x" * 1000})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="not a number"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(b"bytes", id="bytes"),
    ],
)
def test_an_input_that_is_no_json_is_refused(make_engine: MakeEngine, value: Any) -> None:
    with pytest.raises(PolicyError, match="cannot be written as JSON"):
        make_engine(DOUBLE).evaluate("a.twice", {"n": value})


def test_an_input_nested_too_deeply_is_refused(make_engine: MakeEngine) -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(PolicyError):
        make_engine(DOUBLE).evaluate("a.twice", {"n": nested})


def test_nul_and_newlines_in_texts_arrive_whole(make_engine: MakeEngine) -> None:
    engine = make_engine("package a\n\nx := input.text\n")
    text = "one\0two\nthree\u2028four\x7f\U0001f600"
    assert engine.evaluate("a.x", {"text": text}).value == text


def test_what_a_policy_prints_does_not_disturb_the_answer(make_engine: MakeEngine) -> None:
    engine = make_engine('package a\n\nx := 1 if print("{}", input)\n')
    assert engine.evaluate("a.x", {"n": "y" * 100_000}).value == 1


def test_two_threads_at_once_get_their_own_answers(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    wrong: list[int] = []

    def ask(offset: int) -> None:
        wrong.extend(n for n in range(offset, offset + 150) if engine.evaluate("a.twice", {"n": n}).value != 2 * n)

    threads = [threading.Thread(target=ask, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def in_forked_child(work: Callable[[], None]) -> int:
    """Run `work` in a fork of this process; its exit status."""
    process = os.fork()
    if process == 0:
        status = 99
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_a_forked_child_starts_its_own_helper_and_the_parent_keeps_its_own(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    engine.evaluate("a.twice", {"n": 1})
    ours = engine.process_id

    def work() -> None:
        assert engine.evaluate("a.twice", {"n": 5}).value == 10
        assert engine.process_id != ours
        engine.close()

    assert in_forked_child(work) == 0
    assert engine.process_id == ours
    assert engine.evaluate("a.twice", {"n": 6}).value == 12


def test_a_fork_while_another_thread_evaluates_does_not_hang_the_child(make_engine: MakeEngine) -> None:
    engine = make_engine(ENDLESS, deadline=20)
    engine.evaluate("a.answer", {"endless": False})
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            engine.evaluate("a.answer", {"endless": True})
        except PolicyError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)

    def work() -> None:
        signal.alarm(60)
        assert engine.evaluate("a.answer", {"endless": False}).value == 1
        engine.close()

    assert in_forked_child(work) == 0
    process = engine.process_id
    assert process is not None
    os.killpg(process, signal.SIGKILL)
    thread.join()
    assert len(failures) == 1


def test_a_forked_child_that_lives_on_does_not_keep_the_helper_alive(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    engine.evaluate("a.twice", {"n": 1})
    helper = engine.process_id
    assert helper is not None
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        assert engine._all[0]._helper is not None
        engine._all[0]._helper.let_go()  # what the kernel does to the parent's ends when the parent is killed
        assert gone(helper)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_helper_ends_when_its_parent_is_killed_in_the_middle(tmp_path: Path, library: Library) -> None:
    (tmp_path / "r.rego").write_text(ENDLESS)
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import threading, time
        from pathlib import Path
        from interlock.policy import Bundle, EmbeddedEngine, Library
        library = Library(path=Path({str(library.path)!r}), accepted={library.accepted!r}, source="test")
        engine = EmbeddedEngine(Bundle.load({str(tmp_path / "r.rego")!r}), deadline=60, library=library)
        engine.evaluate("a.answer", {{"endless": False}})
        threading.Thread(target=engine.evaluate, args=("a.answer", {{"endless": True}}), daemon=True).start()
        time.sleep(0.3)
        print(engine.process_id, flush=True)
        time.sleep(60)
        """)
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    helper = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(helper)


def test_an_engine_that_is_forgotten_leaves_no_helper(
    make_engine: MakeEngine, bundle: Bundle, library: Library
) -> None:
    engine = EmbeddedEngine(bundle, library=library)
    engine.start()
    helper = engine.process_id
    assert helper is not None
    del engine
    gc.collect()
    assert gone(helper)


def test_a_closed_engine_opens_again(make_engine: MakeEngine) -> None:
    engine = make_engine(DOUBLE)
    engine.evaluate("a.twice", {"n": 1})
    engine.close()
    assert engine.process_id is None
    engine.close()
    assert engine.evaluate("a.twice", {"n": 3}).value == 6


def test_a_library_with_another_hash_is_not_loaded(make_engine: MakeEngine, library: Library, tmp_path: Path) -> None:
    other = tmp_path / "other.so"
    other.write_bytes(library.path.read_bytes() + b"\0")
    engine = make_engine(DOUBLE, library=replace(library, path=other, accepted=("0" * 64,)))
    with pytest.raises(PolicyError, match=r"does not start: .* is not a pinned one"):
        engine.evaluate("a.twice", {"n": 1})


@pytest.mark.parametrize("content", [None, b"", b"no library at all", b"\x7fELF" + bytes(100)])
def test_a_library_that_is_none_is_an_error(make_engine: MakeEngine, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.so"
    if content is not None:
        path.write_bytes(content)
    engine = make_engine(DOUBLE, library=Library(path=path, accepted=(), source="test"))
    with pytest.raises(PolicyError, match=r"the policy engine does not start: .+"):
        engine.evaluate("a.twice", {"n": 1})


def test_without_bubblewrap_the_helper_still_runs_and_says_so(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    engine = make_engine(DOUBLE)
    assert engine.evaluate("a.twice", {"n": 1}).value == 2
    assert engine.isolation == "process"


def test_where_bubblewrap_does_not_work_the_helper_still_runs_and_says_so(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = make_engine(DOUBLE)
    assert engine.evaluate("a.twice", {"n": 1}).value == 2
    assert engine.isolation == "process"


HELLO = 'import sys, time\nprint(\'{"ready": true, "version": "0"}\', flush=True)\nline = sys.stdin.readline\nn = 0\n'
ANSWER = "while line():\n    line()\n    n += 1\n    "
UNTIL_ASKED = (
    ANSWER + 'if n < 2:\n        print(\'{"id": %d, "envelope": {}}\' % n, flush=True)\n        continue\n    '
)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        pytest.param("print('garbage', flush=True)", "no JSON", id="no json"),
        pytest.param("print('[' * 100000, flush=True)", "no JSON", id="json that nests without end"),
        pytest.param(
            'print(\'{"id": 1, "envelope": {}}\', flush=True)', "another shape", id="answer to another question"
        ),
        pytest.param("print('[]', flush=True)", "another shape", id="a list"),
        pytest.param("print('{\"id\": 3}', flush=True)", "another shape", id="no envelope"),
        pytest.param('print(\'{"id": 2, "envelope": {"result": 7}}\', flush=True)', "another shape", id="a number"),
        pytest.param(
            'print(\'{"id": 2, "envelope": {"result": [{}]}}\', flush=True)', "another shape", id="no expressions"
        ),
        pytest.param("print('{}\\n{}', flush=True)", "no JSON", id="two lines"),
        pytest.param("print('x' * 9000000, flush=True)", "larger than", id="too much"),
        pytest.param("print('x', end='', flush=True); time.sleep(60)", "did not answer", id="half a line"),
        pytest.param("time.sleep(60)", "did not answer", id="silence"),
        pytest.param("sys.stderr.write('y' * 10000000); time.sleep(60)", "did not answer", id="a flood of complaints"),
        pytest.param("sys.exit('last words')", r"helper died \(last words\)", id="exit"),
        pytest.param("import os; os.close(1); time.sleep(60)", "helper died|did not answer", id="closed output"),
    ],
)
def test_a_helper_that_answers_nonsense_is_an_error(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, message: str
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(HELLO + UNTIL_ASKED + says + "\n")
    monkeypatch.setattr(helper_process, "WORKER", script)
    monkeypatch.setattr(evaluator, "COMPILE_SECONDS", 0.0)
    engine = make_engine(DOUBLE, deadline=1)
    with pytest.raises(PolicyError, match=message):
        engine.evaluate("a.twice", {"n": 1})
    monkeypatch.undo()
    assert engine.evaluate("a.twice", {"n": 1}).value == 2


@pytest.mark.parametrize(
    "says", ["print('hello')", "print('[]')", "print('{\"ready\": 1}')", "raise SystemExit(3)", "time.sleep(60)"]
)
def test_a_helper_that_does_not_say_that_it_is_ready_is_an_error(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(f"import time\n{says}\n")
    monkeypatch.setattr(helper_process, "WORKER", script)
    monkeypatch.setattr(evaluator, "START_SECONDS", 1.0)
    with pytest.raises(PolicyError, match="the policy engine does not start"):
        make_engine(DOUBLE).evaluate("a.twice", {"n": 1})
