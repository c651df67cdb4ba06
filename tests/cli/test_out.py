"""`--out` of every command: refused with status 2, before any work, where it would destroy what is there."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from interlock.cli import main
from interlock.cli.app import interlock
from interlock.cli.out import OutFile

CALLS = {
    "policy-bundle": ("policy", "bundle"),
    "policy-check": ("policy", "check", "--format", "json"),
    "policy-test": ("policy", "test"),
    "gate": ("gate", "artifact-scan", "model.pt"),
    "ledger-show": ("ledger", "show", "x", "--format", "json"),
    "exempt": ("exempt", "sha256:" + 64 * "0", "--gate", "training", "--rule", "a.b", "--reason", "r"),
    "approve": ("approve", "sha256:" + 64 * "0", "--step", "deployment"),
    "validation-suggest": ("validation", "suggest", "data.csv"),
}


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS.items()])
def test_a_pipe_behind_a_link_is_refused_and_stays(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], call: tuple[str, ...]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out").symlink_to(tmp_path / "pipe")
    with pytest.raises(SystemExit) as ended:
        main([*call, "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert "no regular file" in said.err
    assert "redirect standard output instead" in said.err
    assert (tmp_path / "out").is_symlink()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def commands(group: click.Group) -> Iterator[click.Command]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if isinstance(found, click.Group):
                yield from commands(found)
            elif found is not None:
                yield found


def test_every_out_looks_before_it_leaps() -> None:
    """Its type is `interlock.cli.out.OutFile`, unless it is a folder; `train` writes its report elsewhere."""
    outs = {
        command.name: isinstance(parameter.type, OutFile)
        for command in commands(interlock)
        for parameter in command.params
        if ("--report" if command.name == "train" else "--out") in parameter.opts
        if not (isinstance(parameter.type, click.Path) and not parameter.type.file_okay)
    }
    assert len(outs) > 8
    assert "train" in outs
    assert [name for name, looks in outs.items() if not looks] == []


def test_lint_with_receipts_prints_no_document_beside_the_decision_log(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_DECISION_LOG", "-")
    (tmp_path / "dag.py").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["lint", str(tmp_path / "dag.py"), "--format", "json", "--receipts"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert "the decision log would both go to standard output" in said.err


@pytest.mark.parametrize("format_", ["json", "sarif", "html"])
def test_standard_output_takes_a_document_or_the_decision_log_not_both(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    monkeypatch.setenv("INTERLOCK_DECISION_LOG", "-")
    (tmp_path / "model.npy").write_bytes(b"no model")
    with pytest.raises(SystemExit) as ended:
        main(["gate", "artifact-scan", str(tmp_path / "model.npy"), "--format", format_])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert "the decision log would both go to standard output" in said.err
    assert "add --out FILE" in said.err


def test_with_out_the_decision_log_has_standard_output_alone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_DECISION_LOG", "-")
    (tmp_path / "model.npy").write_bytes(b"no model")
    out = tmp_path / "report.json"
    with pytest.raises(SystemExit):
        main(["gate", "artifact-scan", str(tmp_path / "model.npy"), "--format", "json", "--out", str(out)])
    event, report = json.loads(capsys.readouterr().out), json.loads(out.read_text())
    assert event["decision_id"] == report["decision"]["decision_id"]


def test_a_bundle_is_written_behind_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.tar.gz").symlink_to(tmp_path / "bundle-1.tar.gz")
    with pytest.raises(SystemExit) as ended:
        main(["policy", "bundle", "--out", str(tmp_path / "latest.tar.gz")])
    assert ended.value.code == 0
    assert (tmp_path / "latest.tar.gz").is_symlink()
    assert (tmp_path / "bundle-1.tar.gz").stat().st_size > 1000
