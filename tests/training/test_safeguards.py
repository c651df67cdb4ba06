"""What stands beside a training: what it brings, what it hears, how it ends a run, and what stands in the report."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.training.conftest import RunScript

from interlock.gate import Finding, Json, Level, Measure, Observation, OpenSubject, Subject, UsageError
from interlock.training import (
    Ended,
    Event,
    IdleSafeguard,
    Limits,
    Moment,
    Part,
    Provision,
    Safeguards,
    Sandbox,
    Stop,
    TrainingRun,
    run_training,
    training_observation,
    training_spec,
)

LISTENS = "import interlock.training as training\n"


@dataclass
class Listener(IdleSafeguard):
    """Keeps what it was told, and stops at a word."""

    brought: Provision = field(default_factory=Provision)
    stop_at: str = ""
    heard: list[Event] = field(default_factory=list)
    ticks: int = 0
    closed: int = 0
    given: Part = field(default_factory=Part)

    @property
    def name(self) -> str:
        return "listener"

    def provision(self) -> Provision:
        return self.brought

    def hear(self, event: Event) -> Stop | None:
        self.heard.append(event)
        return Stop(rule="told", message="it said so") if event.kind == self.stop_at else None

    def tick(self, moment: Moment) -> Stop | None:
        self.ticks += 1
        return Stop(rule="slow", message="too slow") if self.stop_at == "now" and moment.seconds > 0 else None

    def after(self, ended: Ended, out: Path) -> Part:
        assert out.is_dir()
        return self.given

    def close(self) -> None:
        self.closed += 1


def observed(run: TrainingRun, tmp_path: Path) -> Observation:
    subject = Subject(name="out", uri="file:///out", digest=run.output_digest)
    spec = training_spec(command=["true"])
    return training_observation(run, spec, OpenSubject(subject=subject, path=tmp_path, files=("",)))


def test_what_the_job_says_is_heard_to_the_last_line(run_script: RunScript, each_sandbox: Sandbox) -> None:
    listener = Listener()
    source = LISTENS + "for n in range(300): assert training.tell('progress', n=n)\nopen(sys.argv[2] + '/m', 'w')"
    run = run_script("import sys\n" + source, sandbox=each_sandbox, safeguards=Safeguards([listener]))
    assert run.exit_status == 0, run.log_tail
    assert [event.fields["n"] for event in listener.heard] == list(range(300))
    assert run.unreadable_events == 0


def test_every_process_of_the_job_is_heard(run_script: RunScript, each_sandbox: Sandbox) -> None:
    listener = Listener()
    source = """
        import os, sys
        from interlock.training import tell
        for n in range(3):
            if os.fork() == 0:
                for i in range(50): tell("progress", n=n, text="x" * 500)
                os._exit(0)
        for n in range(3): os.wait()
        open(sys.argv[2] + "/m", "w")
        """
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([listener]))
    assert run.exit_status == 0, run.log_tail
    assert {event.fields["n"] for event in listener.heard} == {0, 1, 2}
    assert run.unreadable_events == 0


def test_a_word_of_the_job_can_end_it(run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path) -> None:
    listener = Listener(stop_at="nan")
    source = "import time\n" + LISTENS + "training.tell('nan')\ntime.sleep(60)"
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([listener]))
    assert run.stop == Stop(rule="told", message="it said so")
    assert run.failed
    assert run.seconds < 50
    rules = {finding.rule_id: finding for finding in observed(run, tmp_path).findings}
    assert rules["training.told"].level is Level.ERROR
    assert "training.killed" not in rules


def test_a_last_word_counts_whether_the_job_ends_or_is_ended(run_script: RunScript, each_sandbox: Sandbox) -> None:
    source = "import sys\n" + LISTENS + "open(sys.argv[2] + '/m', 'w').close()\ntraining.tell('nan')"
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([Listener(stop_at="nan")]))
    assert run.stop == Stop(rule="told", message="it said so")
    assert run.output == ()


def test_a_look_at_the_job_can_end_it(run_script: RunScript, each_sandbox: Sandbox) -> None:
    source = "import time\ntime.sleep(60)"
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([Listener(stop_at="now")]))
    assert run.stop == Stop(rule="slow", message="too slow")


def test_a_flood_of_noise_neither_stops_nor_hides(run_script: RunScript, each_sandbox: Sandbox) -> None:
    listener = Listener()
    source = """
        import os, sys
        from interlock.training import tell
        channel = os.open(os.environ["INTERLOCK_EVENTS"], os.O_WRONLY)
        for _ in range(200): os.write(channel, b"\\xff" * 10_000 + b"\\n")
        os.write(channel, b'{"event": "last"}\\n')
        open(sys.argv[2] + "/m", "w")
        """
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([listener]))
    assert run.exit_status == 0, run.log_tail
    assert [event.kind for event in listener.heard] == ["last"]
    assert run.unreadable_events == 200


def test_a_secret_comes_by_descriptor_and_stands_nowhere_else(
    run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path
) -> None:
    given = b"\x00s3cr3t\xff" * 3
    source = """
        import os, sys, subprocess
        from interlock.training import secret
        assert secret("KEY") == secret("KEY")
        assert b"s3cr3t" not in open("/proc/self/environ", "rb").read()
        number = int(os.environ["INTERLOCK_SECRET_KEY"])
        for attempt in (lambda: os.pwrite(number, b"x", 0), lambda: os.ftruncate(number, 0)):
            try: attempt()
            except OSError: continue
            raise SystemExit("the secret was changed")
        open(sys.argv[2] + "/m", "wb").write(secret("KEY"))
        """
    brought = Provision(secrets=(("KEY", given),))
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([Listener(brought=brought)]))
    assert run.exit_status == 0, run.log_tail
    assert (tmp_path / "box1" / "out" / "m").read_bytes() == given
    assert "s3cr3t" not in repr(run)
    assert "s3cr3t" not in repr(brought)
    assert not any(name.startswith("INTERLOCK_SECRET_") for name, _ in run.environment)


def test_checkpoints_outlive_a_run_that_failed(run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    source = """
        import os
        open(os.environ["INTERLOCK_CHECKPOINTS"] + "/step-1", "w").write("x")
        raise SystemExit(3)
        """
    run = run_script(source, sandbox=each_sandbox, checkpoints=kept)
    assert run.exit_status == 3
    assert (kept / "step-1").read_text() == "x"


def test_what_is_brought_reaches_the_job(run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path) -> None:
    shown = tmp_path / "driver" / "lib.so"
    shown.parent.mkdir()
    shown.write_text("x")
    source = f"""
        import os, sys
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-1"
        assert open({os.fspath(shown)!r}).read() == "x"
        open("/dev/full", "rb").read(1)
        open(sys.argv[2] + "/m", "w")
        """
    brought = Provision(
        environment=(("CUDA_VISIBLE_DEVICES", "GPU-1"),), visible=(shown,), devices=(Path("/dev/full"),)
    )
    run = run_script(source, sandbox=each_sandbox, safeguards=Safeguards([Listener(brought=brought)]))
    assert run.exit_status == 0, run.log_tail
    assert ("CUDA_VISIBLE_DEVICES", "GPU-1") in run.environment


def test_a_part_joins_the_report(run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path) -> None:
    base = Subject(name="base", uri="file:///base", digest="0" * 64)
    part = Part(
        findings=(Finding(rule_id="training.x", level=Level.NOTE, message="seen"),),
        measures=(Measure(name="gpu_hours", value=0.5, unit="hours"),),
        facts={"training": {"deterministic": True}},
        attachments=(("curves", "[]"),),
        configuration={"window": 3},
        materials=(base,),
    )
    run = run_script(
        "import sys\nopen(sys.argv[2] + '/m', 'w')", sandbox=each_sandbox, safeguards=Safeguards([Listener(given=part)])
    )
    seen = observed(run, tmp_path)
    assert "training.x" in {finding.rule_id for finding in seen.findings}
    assert "gpu_hours" in {measure.name for measure in seen.measures}
    assert json.loads(dict(seen.facts)["training"]) == {"deterministic": True}
    assert dict(seen.attachments)["curves"] == "[]"
    assert base in run.materials


def test_a_safeguard_can_say_that_the_output_may_not_leave(run_script: RunScript, each_sandbox: Sandbox) -> None:
    listener = Listener(given=Part(problem="the output is a pickle"))
    run = run_script(
        "import sys\nopen(sys.argv[2] + '/m', 'w')", sandbox=each_sandbox, safeguards=Safeguards([listener])
    )
    assert run.problem == "the output is a pickle"
    assert run.output == ()


@dataclass
class Named(IdleSafeguard):
    """Says what it was made with."""

    called: str
    asked: Mapping[str, Json] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    fails: bool = False
    closed: bool = False

    @property
    def name(self) -> str:
        return self.called

    def requested(self) -> Mapping[str, Json]:
        return self.asked

    def after(self, ended: Ended, out: Path) -> Part:
        return Part(facts=self.facts)

    def close(self) -> None:
        self.closed = True
        if self.fails:
            raise OSError("cannot close")


def test_two_safeguards_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="one name"):
        Safeguards([Named("a"), Named("a")])


def test_two_safeguards_that_ask_for_different_things_are_refused() -> None:
    both = Safeguards([Named("a", asked={"gpus": 1}), Named("b", asked={"gpus": 2})])
    with pytest.raises(UsageError, match="gpus"):
        both.requested()


def test_every_safeguard_is_closed_though_one_fails_to() -> None:
    each = [Named("a"), Named("b", fails=True), Named("c")]
    with pytest.raises(OSError, match="cannot close"), Safeguards(each):
        pass
    assert all(one.closed for one in each)


def test_two_safeguards_that_set_one_variable_are_refused() -> None:
    brought = Provision(environment=(("A", "1"),))
    first, second = Listener(brought=brought), Named("b")
    second.provision = lambda: brought  # type: ignore[method-assign] # a second one that brings the same
    with pytest.raises(UsageError, match="A"):
        Safeguards([first, second]).provision()


def test_interlocks_own_variables_cannot_be_set(dataset: OpenSubject, tmp_path: Path, each_sandbox: Sandbox) -> None:
    brought = Provision(environment=(("PYTHONPATH", "/tmp"),))
    spec = training_spec(command=["true"], limits=Limits(wall_seconds=5))
    with pytest.raises(UsageError, match="Interlock sets this variable itself"):
        run_training(
            spec,
            dataset,
            tmp_path / "out",
            sandbox=each_sandbox,
            safeguards=Safeguards([Listener(brought=brought)]),
        )


def test_two_safeguards_may_establish_different_fields_of_one_fact(
    run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path
) -> None:
    both = [Named("a", facts={"training": {"x": 1}}), Named("b", facts={"training": {"y": 2}})]
    run = run_script("import sys\nopen(sys.argv[2] + '/m', 'w')", sandbox=each_sandbox, safeguards=Safeguards(both))
    assert json.loads(dict(observed(run, tmp_path).facts)["training"]) == {"x": 1, "y": 2}


def test_the_folder_of_events_is_gone_afterwards(run_script: RunScript, each_sandbox: Sandbox, tmp_path: Path) -> None:
    run_script("import sys\nopen(sys.argv[2] + '/m', 'w')", sandbox=each_sandbox)
    assert [path.name for path in (tmp_path / "box1").iterdir()] == ["out"]
    assert os.listdir(tmp_path / "box1" / "out") == ["m"]  # noqa: PTH208
