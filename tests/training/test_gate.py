"""What the gate `training` reports, by the names that policy reads."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import Decision, Level, Observation, OpenSubject, Subject, UsageError, Verdict, conclude, look
from interlock.gate.documents import report_document, report_from
from interlock.training import (
    Availability,
    Isolation,
    Kind,
    LimitHit,
    OutputFile,
    Refusal,
    RlimitsSandbox,
    TrainingGate,
    TrainingRun,
    best_sandbox,
    sandboxes,
    training_spec,
)
from interlock.training.bwrap import BwrapSandbox
from interlock.training.log import BoundedLog

MOMENT = datetime(2026, 11, 23, tzinfo=UTC)
DIGEST = "a" * 64
SPEC = training_spec(command=["true"], wall_clock=60)
GOOD = TrainingRun(
    isolation=Isolation.BWRAP,
    argv=("/usr/bin/true",),
    environment=(("LANG", "C.UTF-8"),),
    data=Subject(name="rows", uri="file:///rows", digest="d" * 64),
    code=Subject(name="code", uri="file:///train.py", digest="c" * 64),
    exit_status=0,
    limit=None,
    problem="",
    output=(OutputFile(path="model.safetensors", sha256="b" * 64, size=10),),
    output_digest=DIGEST,
    output_bytes=10,
    metrics='{"loss":0.5}',
    log_tail="epoch 1\nepoch 2",
    log_bytes=16,
    seconds=1.5,
    started=MOMENT,
    finished=MOMENT,
    tools=(),
)


def opened(digest: str = DIGEST) -> OpenSubject:
    return OpenSubject(subject=Subject(name="model", uri="file:///model", digest=digest), path=Path("/"), files=())


def seen(run: TrainingRun, digest: str = DIGEST) -> Observation:
    return TrainingGate(run, SPEC).look(opened(digest))


def errors(observation: Observation) -> dict[str, str]:
    return {f.rule_id: f.message for f in observation.findings if f.level is Level.ERROR}


def test_a_good_run_is_reported_by_the_agreed_measures() -> None:
    observation = seen(GOOD)
    assert {measure.name: measure.value for measure in observation.measures} == {
        "seconds": 1.5,
        "exit_status": 0,
        "isolation_rank": 3,
        "output_bytes": 10,
        "output_files": 1,
        "refused_network": 0,
        "refused_files": 0,
        "refused_processes": 0,
        "refused_kernel": 0,
    }
    assert errors(observation) == {}
    assert observation.coverage.looked_at == ("model.safetensors",)


def test_the_report_survives_the_ledger() -> None:
    report = look(TrainingGate(GOOD, SPEC), opened(), clock=lambda: MOMENT)
    assert report_from(report_document(report)) == report
    configuration = json.loads(report.configuration)
    assert configuration["code"]["digest"] == "c" * 64
    assert configuration["isolation"] == "bwrap"
    assert configuration["environment"] == {"LANG": "C.UTF-8"}


@pytest.mark.parametrize(
    ("changes", "rule", "message"),
    [
        pytest.param({"exit_status": 3}, "training.failed", "ended with status 3: epoch 2", id="own-error"),
        pytest.param(
            {"exit_status": 1, "log_tail": "ModuleNotFoundError: No module named 'torch'"},
            "training.failed",
            "install it into",
            id="missing-torch",
        ),
        pytest.param({"exit_status": 1, "log_tail": ""}, "training.failed", "printed nothing", id="silent-error"),
        pytest.param({"exit_status": 137}, "training.killed", "SIGKILL; most often the machine ran out", id="killed"),
        pytest.param({"exit_status": 139}, "training.killed", "SIGSEGV", id="crashed"),
        pytest.param({"exit_status": 255}, "training.failed", "status 255", id="status-beyond-signals"),
        pytest.param(
            {"exit_status": 137, "limit": LimitHit.WALL_SECONDS}, "training.timeout", "its 60 seconds", id="timeout"
        ),
        pytest.param(
            {"exit_status": 137, "limit": LimitHit.OUTPUT_BYTES}, "training.limit", "bytes and was ended", id="output"
        ),
        pytest.param(
            {"exit_status": 137, "limit": LimitHit.PROCESSES}, "training.limit", "processes and threads", id="bomb"
        ),
        pytest.param({"problem": "the training wrote no output"}, "training.unusable-output", "no output", id="none"),
    ],
)
def test_each_way_to_fail_is_one_clear_error(changes: dict[str, Any], rule: str, message: str) -> None:
    found = errors(seen(replace(GOOD, **changes, output=())))
    assert list(found) == [rule]
    assert message in found[rule]


def test_other_bytes_than_the_training_wrote_are_never_allowed() -> None:
    observation = seen(GOOD, digest="e" * 64)
    assert "training.output-changed" in errors(observation)
    report = look(TrainingGate(GOOD, SPEC), opened("e" * 64))
    assert conclude(report, Decision(verdict=Verdict.ALLOW)).verdict is Verdict.UNDECIDED


def test_one_file_of_the_output_is_the_training_s_too() -> None:
    assert errors(seen(GOOD, digest="b" * 64)) == {}


@pytest.mark.parametrize(("isolation", "rank"), [(Isolation.LANDLOCK, 2), (Isolation.RLIMITS, 1)])
def test_the_weaker_levels_warn(isolation: Isolation, rank: int) -> None:
    observation = seen(replace(GOOD, isolation=isolation))
    (finding,) = observation.findings
    assert (finding.rule_id, finding.level) == ("training.isolation", Level.WARNING)
    assert next(m.value for m in observation.measures if m.name == "isolation_rank") == rank


def test_what_was_refused_is_counted_and_named() -> None:
    refused = (
        Refusal(kind=Kind.NETWORK, what="connect 192.0.2.1:80", count=3),
        Refusal(kind=Kind.NETWORK, what="socket AF_PACKET SOCK_RAW", count=1),
        Refusal(kind=Kind.FILE, what="openat /etc/x", count=2),
    )
    observation = seen(replace(GOOD, refused=refused))
    measures = {measure.name: measure.value for measure in observation.measures}
    assert [measures[f"refused_{kind.value}"] for kind in Kind] == [4, 2, 0, 0]
    finding = next(finding for finding in observation.findings if finding.rule_id == "training.refused")
    assert finding.level is Level.WARNING
    assert "4 at the network, 2 to change files; the first is 'connect 192.0.2.1:80'" in finding.message
    assert json.loads(dict(observation.attachments)["refused"])[0] == {
        "kind": "network",
        "what": "connect 192.0.2.1:80",
        "count": 3,
    }


def test_refused_writing_alone_is_a_note() -> None:
    observation = seen(replace(GOOD, refused=(Refusal(kind=Kind.FILE, what="mkdir /root/.cache", count=1),)))
    assert {f.rule_id: f.level for f in observation.findings}["training.refused"] is Level.NOTE


def test_what_could_not_be_seen_is_no_zero() -> None:
    observation = seen(replace(GOOD, unwatched="Device or resource busy"))
    assert not [measure for measure in observation.measures if measure.name.startswith("refused_")]
    assert "refused" not in dict(observation.attachments)
    finding = next(finding for finding in observation.findings if finding.rule_id == "training.refused")
    assert "not known: Device or resource busy" in finding.message


def test_materials_are_the_data_and_the_code() -> None:
    assert [subject.name for subject in GOOD.materials] == ["rows", "code"]


class Missing(RlimitsSandbox):
    def probe(self) -> Availability:
        return Availability(available=False, reason="not here", how_to_get="elsewhere")


def test_the_strongest_sandbox_that_works_is_chosen() -> None:
    assert [sandbox.level for sandbox in sandboxes()] == ["bwrap", "landlock+seccomp", "rlimits"]
    weak = RlimitsSandbox()
    assert best_sandbox([Missing(), weak]) is weak
    with pytest.raises(UsageError, match=r"no sandbox works.*rlimits: not here"):
        best_sandbox([Missing()])


def test_missing_bubblewrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = BwrapSandbox().probe()
    assert not found.available
    assert "apt-get install bubblewrap" in found.how_to_get


def test_refused_namespaces_say_what_to_change(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    options = " ".join(
        ("--args", "--block-fd", "--clearenv", "--disable-userns", "--json-status-fd", "--ro-bind-data", "--size")
    )
    program.write_text(
        f"#!/bin/sh\ncase $1 in --help) echo '{options}';; --version) echo bubblewrap 9;;"
        " *) echo 'bwrap: No permissions to create a new namespace' >&2; exit 1;; esac\n"
    )
    program.chmod(0o755)
    found = BwrapSandbox(str(program)).probe()
    assert "No permissions" in found.reason
    assert "unprivileged_userns_clone" in found.how_to_get


def test_an_old_bubblewrap_is_not_used(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho bubblewrap 0.4.1 --args\n")
    program.chmod(0o755)
    assert "too old: it lacks --block-fd" in BwrapSandbox(str(program)).probe().reason


@given(st.binary(max_size=20_000), st.lists(st.integers(1, 5000), max_size=20))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    def lines(pieces: list[bytes]) -> list[str]:
        got: list[str] = []
        log = BoundedLog(keep=1 << 20, on_line=got.append)
        for piece in pieces:
            log.feed(piece)
        log.close()
        assert log.seen == len(data)
        return got

    pieces, start = [], 0
    for cut in cuts:
        pieces.append(data[start : start + cut])
        start += cut
    assert lines([*pieces, data[start:]]) == lines([data])


def test_the_log_keeps_its_end_and_no_escape_sequence() -> None:
    log = BoundedLog(keep=100)
    log.feed(b"".join(b"line %d\n" % n for n in range(100_000)))
    log.feed("\x1b[2Jforged\x85line\u2028x\n".encode())
    assert len(log.tail) <= 100
    assert log.tail.endswith("\ufffd[2Jforged\ufffdline\ufffdx")


def test_exported_members_are_all_there() -> None:
    import interlock.training as room

    assert set(room.__all__) == set(room._PLACES)
    for name in room.__all__:
        assert getattr(room, name) is not None
    with pytest.raises(AttributeError):
        room.__getattr__("nothing")


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys, interlock.training as t; t.training_spec(command=['true']); t.TrainingGate; t.best_sandbox();"
        "print([m for m in ('torch', 'numpy', 'pandas', 'airflow', 'fsspec', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
