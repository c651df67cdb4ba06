"""modelaudit as a program of its own: real answers of version 0.2.54, replayed by a program in the real sandbox.

The last test asks the real program, where one is installed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.artifacts.corpus import CALL
from tests.artifacts.looking import errors, opened

from interlock.artifacts import ArtifactGate
from interlock.artifacts import modelaudit as room
from interlock.artifacts.record import SECOND_OPINION
from interlock.gate import Level, Observation, UsageError

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("modelaudit_0_2_54.json").read_text("utf-8"))
ANSWERS = RECORDED["answers"]
# Writes what was recorded, with the place of the data in it, and what it was called with and sees beside it.
PROGRAM = """#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
for data; do :; done
out=/dev/null; last=
for word; do [ "$last" = --output ] && out=$word; last=$word; done
sed "s|@DATA@|$data|g" "$root/said.json" > "$out"
exit $(cat "$root/status")
"""


def installed(folder: Path, said: object, status: int = 0, program: str = PROGRAM) -> Path:
    """A virtual environment whose modelaudit says this."""
    about = folder / "lib/python3.11/site-packages/modelaudit-0.2.54.dist-info/METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: modelaudit\nVersion: 0.2.54\n")
    (folder / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(os.path.realpath(sys.executable))
    (folder / "said.json").write_text(json.dumps(said))
    (folder / "status").write_text(str(status))
    place = folder / "bin/modelaudit"
    place.write_text(program)
    place.chmod(0o755)
    return place


def warned(seen: Observation) -> list[tuple[str, str]]:
    said = [finding for finding in seen.findings if finding.rule_id == SECOND_OPINION]
    assert all(finding.level is Level.WARNING for finding in said)
    return [(finding.location.path, finding.message) for finding in said]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(said: object, status: int = 0, program: str = PROGRAM, files: dict[str, bytes] | None = None) -> Any:
        place = installed(tmp_path / "venv", said, status, program)
        monkeypatch.setenv("INTERLOCK_MODELAUDIT", str(place))
        gate = ArtifactGate(also=["modelaudit"])
        return gate, warned(gate.look(opened(tmp_path / "m", files or {"a.txt": b"text"})))

    return call


def test_every_issue_is_a_warning_with_its_severity_at_its_file(ask: Any) -> None:
    gate, said = ask(ANSWERS["something-found"]["said"], 1)
    assert said == [
        ("bad.pkl", "modelaudit says critical: Found REDUCE opcode invoking dangerous global: posix.system"),
        (
            "broken.pkl",
            "modelaudit says critical: Malformed STACK_GLOBAL operands prevent reliable callable resolution",
        ),
        ("broken.pkl", "modelaudit says warning: STACK_GLOBAL opcode found without sufficient string context"),
        (
            "model",
            "modelaudit says info: Datasets with unspecified licenses detected (2 files). Verify data usage rights.",
        ),
    ]
    assert ("modelaudit", "0.2.54") in [(tool.name, tool.version) for tool in gate.tools]
    assert gate.configuration()["also"] == ["modelaudit"]


def test_what_it_could_not_read_is_said_and_no_path_of_the_sandbox(ask: Any) -> None:
    _, said = ask(ANSWERS["not-all-read"]["said"], 2)
    assert said[-1] == ("model", "modelaudit could not read all of it")
    assert ("model.pt", "modelaudit says critical: Not a valid zip file: model.pt") in said
    assert len(said) == len(ANSWERS["not-all-read"]["said"]["issues"]) + 1


def test_silence_is_no_finding(ask: Any) -> None:
    _, said = ask(ANSWERS["nothing-found"]["said"], 0)
    assert said == []


def test_a_model_of_one_file_is_named_as_the_subject(ask: Any) -> None:
    issue = {"message": "bad @DATA@", "severity": "critical", "location": "@DATA@ (pos 3)"}
    _, said = ask({"issues": [issue], "has_errors": False}, 1, files={"": CALL})
    assert said == [("model", "modelaudit says critical: bad model")]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(ANSWERS["nothing-found"]["said"], 3, id="another-status"),
        pytest.param([], 0, id="no-object"),
        pytest.param({"has_errors": False}, 0, id="no-issues"),
        pytest.param({"issues": [3], "has_errors": False}, 1, id="an-issue-that-is-a-number"),
        pytest.param({"issues": [], "success": True}, 0, id="no-word-of-errors"),
    ],
)
def test_an_answer_of_another_shape_is_a_warning(ask: Any, said: object, status: int) -> None:
    _, [(path, message)] = ask(said, status)
    assert path == "model"
    assert message.startswith("modelaudit could not be asked: ")


def test_it_is_told_to_report_nothing_and_sees_nothing_of_ours(ask: Any) -> None:
    ours = Path(room.__file__).parent
    tells = (
        '#!/bin/sh\nfor word; do [ "$last" = --output ] && out=$word; last=$word; done\n'
        'printf \'{"has_errors": false, "issues": [{"severity": "info", "location": "", "message": "%s"}]}\' '
        f'"$PROMPTFOO_DISABLE_TELEMETRY $NO_ANALYTICS $CI $(ls -d {ours} 2>&1)" > "$out"\n'
    )
    _, [(_, message)] = ask({}, 0, tells)
    assert message.startswith("modelaudit says info: 1 1 1 ls: cannot access")


def test_one_that_is_not_there_or_not_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_MODELAUDIT", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="modelaudit is not installed"):
        ArtifactGate(also=["modelaudit"])
    place = installed(tmp_path / "venv", {})
    (tmp_path / "venv/pyvenv.cfg").unlink()
    monkeypatch.setenv("INTERLOCK_MODELAUDIT", str(place))
    with pytest.raises(UsageError, match="not in a virtual environment"):
        ArtifactGate(also=["modelaudit"])


def test_one_that_is_linked_from_elsewhere_is_found_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = installed(tmp_path / "venv", {})
    (tmp_path / "path").mkdir()
    (tmp_path / "path/modelaudit").symlink_to(place)
    monkeypatch.delenv("INTERLOCK_MODELAUDIT", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
    assert room.find().program == place.resolve()
    assert tmp_path / "venv" in room.find().visible


@pytest.mark.slow
def test_the_real_one_says_what_was_recorded(tmp_path: Path) -> None:
    try:
        version = room.find().version
    except UsageError as error:
        pytest.skip(f"{error.what}: it needs an environment of its own, which the lock file does not make")
    if not version.startswith("0.2."):
        pytest.skip(f"modelaudit {version} is not the one whose answers were recorded")
    files = {"bad.pkl": CALL, "notes.txt": b"weights of a model\n"}
    seen = ArtifactGate(also=["modelaudit"]).look(opened(tmp_path, files))
    assert any(path == "bad.pkl" and "says critical" in message for path, message in warned(seen))
    assert "artifact-scan.unsafe-global" in errors(seen)
