"""The opa program, one for each question: the same answers, and every way in which a program can fail."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.opa_servers import OPA, needs_opa, opa_program

from interlock.gate import PolicyError, SettingsError, Verdict
from interlock.policy import Bundle, Module, PolicyDecider
from interlock.policy.engines import binary as binary_module
from interlock.policy.engines.binary import BinaryEngine, find_program

MakeBinary = Callable[..., BinaryEngine]
SOURCE = """package a.b

twice := input.n * 2

quotient := 1 / input.n

listed := [sprintf("%d", [i]) | some i in numbers.range(1, input.n)]

endless if count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i != j]) > 0
"""


@pytest.fixture
def make_binary(tmp_path: Path) -> Iterator[MakeBinary]:
    """Make an engine over one Rego text; it is closed at the end of the test."""
    made: list[BinaryEngine] = []

    def make(source: str = SOURCE, *, program: Path | None = None, **more: Any) -> BinaryEngine:
        path = tmp_path / f"rule{len(made)}.rego"
        path.write_text(source)
        made.append(BinaryEngine(Bundle.load(path), program=program or opa_program(), **more))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def program(folder: Path, script: str) -> Path:
    """A shell script that stands where opa should be; it answers `version` and `capabilities` as opa does."""
    path = folder / "opa"
    path.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "version) echo 'Version: 1.20.2'; exit 0;;\n"
        'capabilities) echo \'{"builtins": [{"name": "plus"}]}\'; exit 0;;\n'
        f"esac\n{script}\n"
    )
    path.chmod(0o755)
    return path


@needs_opa
def test_it_is_opa_and_says_which(make_binary: MakeBinary) -> None:
    engine = make_binary()
    assert (engine.name, engine.version) == ("opa-binary", "")
    answer = engine.evaluate("data.a.b.twice", {"n": 21})
    assert (answer.defined, answer.value, answer.bundle_digest) == (True, 42, engine.bundle_digest)
    assert answer.metrics["timer_rego_query_eval_ns"] > 0
    assert engine.version.startswith("1.")


@needs_opa
def test_undefined_is_no_value(make_binary: MakeBinary) -> None:
    engine = make_binary()
    assert not engine.evaluate("a.b.twice", {}).defined
    assert not engine.evaluate("a.nothing", {"n": 1}).defined


@needs_opa
@pytest.mark.parametrize(
    ("path", "message"),
    [("a.b.quotient", "divide by zero"), ("a b", "dotted names"), ("a.b.listed[0]", "dotted names")],
)
def test_what_opa_refuses_is_a_policy_error(make_binary: MakeBinary, path: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make_binary().evaluate(path, {"n": 0})


@needs_opa
def test_any_query_is_answered_as_opa_eval_prints_it(make_binary: MakeBinary) -> None:
    found = make_binary().query("x := input.y + 1", {"y": 1})
    assert found[0]["bindings"] == {"x": 2}
    assert make_binary().query("-1 < input.y", {"y": 1})[0]["expressions"][0]["value"] is True


@needs_opa
@pytest.mark.parametrize(
    "expression",
    [
        'http.send({"method": "get", "url": "http://127.0.0.1/"})',
        'http["send"]({"method": "get", "url": "http://127.0.0.1/"})',
        "opa.runtime()",
        'net.lookup_ip_addr("localhost")',
    ],
)
def test_a_banned_builtin_is_refused_before_anything_runs(make_binary: MakeBinary, expression: str) -> None:
    with pytest.raises(PolicyError, match="policy may not use"):
        make_binary(f"package a\n\nx := {expression}\n").evaluate("a.x", {})
    with pytest.raises(PolicyError, match="policy may not use"):
        make_binary().query(f"x := {expression}", {})


@needs_opa
def test_the_compiler_itself_knows_no_banned_builtin(make_binary: MakeBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_module, "suspicious", lambda _text: False)
    with pytest.raises(PolicyError, match=r"undefined function http\.send"):
        make_binary('package a\n\nx := http.send({"method": "get", "url": "http://127.0.0.1/"})\n').evaluate("a.x", {})


@needs_opa
def test_a_policy_that_never_ends_is_ended_and_the_next_call_works(make_binary: MakeBinary) -> None:
    engine = make_binary(deadline=0.7)
    with pytest.raises(PolicyError, match=r"did not answer within (0\.7|1\.7) seconds"):
        engine.evaluate("a.b.endless", {})
    assert engine.evaluate("a.b.twice", {"n": 2}).value == 4


@needs_opa
def test_an_answer_that_is_too_large_is_refused_and_the_next_call_works(make_binary: MakeBinary) -> None:
    engine = make_binary(answer_limit=20_000)
    with pytest.raises(PolicyError, match="larger than 20000 bytes"):
        engine.evaluate("a.b.listed", {"n": 100_000})
    assert engine.evaluate("a.b.listed", {"n": 1}).value == ["1"]


@needs_opa
def test_an_input_larger_than_a_pipe_arrives_whole(make_binary: MakeBinary) -> None:
    engine = make_binary("package a\n\nx := count(input.rows)\n")
    assert engine.evaluate("a.x", {"rows": [f"row {n} äöü\n" for n in range(100_000)]}).value == 100_000


@needs_opa
def test_many_threads_get_their_own_answers(make_binary: MakeBinary) -> None:
    engine = make_binary()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: engine.evaluate("a.b.twice", {"n": n}).value, range(24)))
    assert found == [2 * n for n in range(24)]


@needs_opa
def test_a_forked_child_writes_a_folder_of_its_own(make_binary: MakeBinary) -> None:
    engine = make_binary()
    assert engine.evaluate("a.b.twice", {"n": 1}).value == 2
    ours = engine._prepared
    child = os.fork()
    if child == 0:
        status = 1
        try:
            right = engine.evaluate("a.b.twice", {"n": 2}).value == 4 and engine._prepared != ours
            engine.close()
            status = 0 if right else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.evaluate("a.b.twice", {"n": 3}).value == 6


@needs_opa
def test_closing_removes_the_folder_and_the_next_question_writes_it_again(make_binary: MakeBinary) -> None:
    engine = make_binary()
    engine.evaluate("a.b.twice", {"n": 1})
    assert engine._prepared is not None
    folder = engine._prepared[1]
    assert folder.stat().st_mode & 0o777 == 0o700
    engine.close()
    assert not folder.exists()
    assert engine.evaluate("a.b.twice", {"n": 3}).value == 6


@needs_opa
def test_the_program_gets_no_environment(make_binary: MakeBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPA_EVAL_STRICT", "false")
    monkeypatch.setenv("OPA_EVAL_UNKNOWN", "input")
    assert make_binary().evaluate("a.b.twice", {"n": 2}).value == 4


@needs_opa
def test_a_module_cannot_be_written_outside_the_folder(bundle: Bundle, tmp_path: Path) -> None:
    from dataclasses import replace

    for path in ("../../evil.rego", "/evil.rego", "evil.sh"):
        bad = replace(bundle, modules=(Module(path=path, source="package a\n"),))
        with pytest.raises(PolicyError, match="leaves the bundle or is no Rego"):
            BinaryEngine(bad, program=opa_program()).evaluate("a.x", {})


@needs_opa
def test_the_shipped_bundle_decides_the_same(
    examples: Callable[[], Mapping[str, dict[str, Any]]], bundle: Bundle
) -> None:
    decider = PolicyDecider(BinaryEngine(bundle, program=opa_program()), bundle)
    decision = decider.decide(examples()["validation"])
    decider.close()
    assert (decision.verdict, decision.errors, decision.engine) == (Verdict.ALLOW, (), "opa-binary")
    assert decision.bundle_digest == bundle.digest


ROW = json.dumps({"result": [{"expressions": [{"value": 5, "text": "x", "location": {"row": 1, "col": 1}}]}]})


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("echo garbage", "no JSON", id="garbage"),
        pytest.param("echo '[]'", "another shape", id="a list"),
        pytest.param("echo '{\"result\": 7}'", "another shape", id="a number"),
        pytest.param("echo '{\"result\": [{}]}'", "another shape", id="no expressions"),
        pytest.param("exit 0", "status 0 and said nothing", id="nothing"),
        pytest.param("echo oh >&2; exit 3", r"status 3 and said nothing \(oh\)", id="complains"),
        pytest.param(f"echo '{ROW}'; exit 1", "status 1", id="an answer and a failure"),
        pytest.param("kill -9 $$", "killed by signal 9", id="killed in the middle"),
        pytest.param("echo '{\"errors\": [{}]}'", "cannot be evaluated", id="an empty error"),
        pytest.param("echo '{\"errors\": 5}'", "cannot be evaluated", id="an error of another shape"),
        pytest.param("sleep 60", "did not answer within", id="hangs"),
        pytest.param("sleep 60 & echo '{}'", "did not answer within", id="leaves a child with its pipe"),
        pytest.param("exec 1>&-; sleep 60", "did not answer within", id="closes its output"),
        pytest.param("yes", "larger than", id="says too much"),
        pytest.param("yes >&2", "did not answer within", id="a flood of complaints"),
    ],
)
def test_a_program_that_fails_is_an_error(make_binary: MakeBinary, tmp_path: Path, script: str, message: str) -> None:
    engine = make_binary(program=program(tmp_path, script), deadline=0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binary_module, "GRACE_SECONDS", 0.2)
        with pytest.raises(PolicyError, match=message):
            engine.evaluate("a.b.twice", {"n": 1})
    program(tmp_path, f"echo '{ROW}'")
    assert engine.evaluate("a.b.twice", {"n": 1}).value == 5


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("echo hello", "is not OPA", id="another program"),
        pytest.param("echo 'Version: 1.20.2'; exit 1", "is not OPA", id="fails"),
        pytest.param("echo 'Version: 0.70.0'", "too old for Rego v1", id="an old one"),
        pytest.param("[ $1 = version ] && echo 'Version: 1.20.2' || echo '{}'", "its builtins", id="no capabilities"),
        pytest.param("[ $1 = version ] && echo 'Version: 1.20.2' || echo 'x'", "no JSON", id="garbage capabilities"),
    ],
)
def test_a_program_that_is_not_opa_is_said(make_binary: MakeBinary, tmp_path: Path, script: str, message: str) -> None:
    wrong = tmp_path / "opa"
    wrong.write_text(f"#!/bin/sh\n{script}\n")
    wrong.chmod(0o755)
    with pytest.raises(PolicyError, match=message):
        make_binary(program=wrong).evaluate("a.b.twice", {"n": 1})


def test_a_program_that_went_away_is_said_and_back_again_is_used(make_binary: MakeBinary, tmp_path: Path) -> None:
    there = program(tmp_path, f"echo '{ROW}'")
    engine = make_binary(program=there)
    there.unlink()
    with pytest.raises(PolicyError, match="does not start: No such file"):
        engine.evaluate("a.b.twice", {"n": 1})
    program(tmp_path, f"echo '{ROW}'").chmod(0o644)
    with pytest.raises(PolicyError, match="does not start: Permission denied"):
        engine.evaluate("a.b.twice", {"n": 1})
    there.write_bytes(b"\x00\x01no program")
    there.chmod(0o755)
    with pytest.raises(PolicyError, match="does not start"):
        engine.evaluate("a.b.twice", {"n": 1})
    program(tmp_path, f"echo '{ROW}'")
    assert engine.evaluate("a.b.twice", {"n": 1}).value == 5


def test_at_the_deadline_the_whole_process_group_is_gone(make_binary: MakeBinary, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    engine = make_binary(program=program(tmp_path, f"sleep 60 & echo $! $$ > {mark}; wait"), deadline=0.1)
    with pytest.raises(PolicyError, match="did not answer"):
        engine.evaluate("a.b.twice", {"n": 1})
    for process in mark.read_text().split():
        until = threading.Event()
        for _ in range(100):
            if not Path(f"/proc/{process}").exists() or ") Z " in Path(f"/proc/{process}/stat").read_text():
                break
            until.wait(0.05)
        else:
            pytest.fail(f"process {process} still runs")


@pytest.mark.parametrize("named", ["/nowhere/opa", "", "file"])
def test_a_program_that_is_not_there_is_a_mistake_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if named == "file":
        (tmp_path / "opa").write_text("not executable")
        named = str(tmp_path / "opa")
    with pytest.raises(SettingsError, match="opa"):
        find_program(named)


@needs_opa
def test_the_program_on_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OPA is not None
    monkeypatch.setenv("PATH", str(Path(OPA).parent))
    assert find_program() == Path(OPA)
    assert find_program(OPA) == Path(OPA)
