"""The command line as a person types it: one clear message, the documented exit status, and never a stack trace."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.cli.conftest import Interlock, call

FLOATS = b"\x00" * 16


@pytest.fixture
def model(tmp_path: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + FLOATS)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("age,label\n" + "".join(f"{20 + n % 50},{n % 2}\n" for n in range(200)))
    return path


def test_help_lists_every_command(interlock: Interlock) -> None:
    said = interlock("--help")
    assert said.status == 0
    for command in ("demo", "doctor", "gate", "keys", "ledger", "policy", "snapshot", "validation", "verify"):
        assert f"\n  {command}" in said.out


def test_a_clean_model_is_allowed_and_json_is_one_object_of_the_published_shape(
    interlock: Interlock, model: Path
) -> None:
    said = interlock("gate", "artifact-scan", model, "--format", "json")
    assert said.status == 0
    document = json.loads(said.out)
    schema = json.loads((files("interlock.policies") / "schemas" / "gate_outcome.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(document)
    assert document["verdict"] == "ALLOW"


def test_a_hostile_model_is_denied_with_its_reason_and_place(interlock: Interlock, tmp_path: Path) -> None:
    hostile = tmp_path / "model.safetensors"
    hostile.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    said = interlock("gate", "artifact-scan", hostile)
    assert said.status == 1
    assert said.out.startswith("DENY")
    assert "os.system" in said.out


def test_sarif_and_html_are_written_whole(interlock: Interlock, model: Path, tmp_path: Path) -> None:
    sarif, page = tmp_path / "r.sarif", tmp_path / "r.html"
    assert interlock("gate", "artifact-scan", model, "--out", sarif).status == 0
    assert interlock("gate", "artifact-scan", model, "--out", page).status == 0
    assert json.loads(sarif.read_text())["version"] == "2.1.0"
    assert page.read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.glob(".*")} <= {".config"}


def test_a_report_that_cannot_be_written_is_said_and_leaves_nothing(
    interlock: Interlock, model: Path, tmp_path: Path
) -> None:
    said = interlock("gate", "artifact-scan", model, "--out", tmp_path / "none" / "r.html")
    assert said.status == 2
    assert "cannot be written" in said.err


@pytest.mark.parametrize(
    ("make", "statuses", "says"),
    [
        pytest.param(lambda path: None, {2}, "nothing is there", id="missing-file"),
        pytest.param(lambda path: path.write_bytes(b""), {1, 3}, "", id="empty-model"),
        pytest.param(lambda path: path.write_bytes(b"\x10" + bytes(7) + b'{"w":'), {1, 3}, "", id="truncated-header"),
        pytest.param(lambda path: path.write_bytes(b"PK\x03\x04" + bytes(40)), {1, 3}, "", id="truncated-zip"),
        pytest.param(lambda path: path.write_bytes(bytes(range(256)) * 4), {3}, "unknown", id="unknown-format"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), {3}, "link", id="symlink"),
    ],
)
def test_a_bad_model_is_one_clear_message_and_never_allowed(
    interlock: Interlock, tmp_path: Path, make: Callable[[Path], object], statuses: set[int], says: str
) -> None:
    path = tmp_path / "model.bin"
    make(path)
    said = interlock("gate", "artifact-scan", path)
    assert said.status in statuses
    assert "ALLOW" not in said.out
    assert says in said.out + said.err
    assert str(path) in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("--scanner-profile", "vibes"), "vibes", id="unknown-scanner-profile"),
        pytest.param(("--profile", "vibes"), "vibes", id="unknown-policy-profile"),
        pytest.param(("--format", "yaml"), "yaml", id="unknown-format"),
    ],
)
def test_an_unknown_profile_or_format_is_refused(
    interlock: Interlock, model: Path, arguments: tuple[str, ...], says: str
) -> None:
    said = interlock("gate", "artifact-scan", model, *arguments)
    assert said.status in (1, 2)
    assert says in said.out + said.err
    assert "ALLOW" not in said.out


def test_a_suite_is_drafted_and_then_holds_on_its_own_data(interlock: Interlock, table: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite.json"
    assert interlock("validation", "suggest", table, "--out", suite).status == 0
    assert interlock("validation", "suggest", table, "--out", suite).status == 2  # never overwritten
    said = interlock("gate", "data-validation", table, "--suite", suite)
    assert (said.status, said.out.split()[0]) == (0, "ALLOW")


@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        pytest.param(b"PAR1 and then nothing", {3}, id="unreadable-parquet"),
        pytest.param(b"age\n30\n", {1, 3}, id="column-that-is-not-there"),
        pytest.param(b"age,label\n", {1, 3}, id="empty-table"),
        pytest.param(b"\xff\xfe\x00", {3}, id="broken-encoding"),
    ],
)
def test_bad_data_is_one_clear_message_and_never_allowed(
    interlock: Interlock, table: Path, tmp_path: Path, content: bytes, statuses: set[int]
) -> None:
    suite, bad = tmp_path / "suite.json", tmp_path / ("bad.parquet" if content.startswith(b"PAR1") else "bad.csv")
    interlock("validation", "suggest", table, "--out", suite)
    bad.write_bytes(content)
    said = interlock("gate", "data-validation", bad, "--suite", suite)
    assert said.status in statuses
    assert "ALLOW" not in said.out


def test_bytes_name_their_receipts_and_other_bytes_have_none(interlock: Interlock, model: Path) -> None:
    interlock("gate", "artifact-scan", model)
    said = interlock("verify", model)
    assert said.status == 0
    assert "artifact-scan (gate)" in said.out
    model.write_bytes(model.read_bytes()[:-1] + b"\x80")
    said = interlock("verify", model)
    assert said.status == 3
    assert "no receipt speaks for these bytes" in said.out


def test_a_receipt_verifies_by_id_and_as_a_file(interlock: Interlock, model: Path, tmp_path: Path) -> None:
    receipt = json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)["receipt_id"]
    assert interlock("verify", receipt).status == 0
    envelope = tmp_path / "receipt.json"
    assert interlock("ledger", "show", receipt, "--format", "envelope", "--out", envelope).status == 0
    assert interlock("verify", envelope).status == 0


def test_a_receipt_of_an_unknown_key_is_not_believed(
    interlock: Interlock, model: Path, home: Path, tmp_path: Path
) -> None:
    receipt = json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)["receipt_id"]
    envelope = tmp_path / "receipt.json"
    interlock("ledger", "show", receipt, "--format", "envelope", "--out", envelope)
    (home / "keys" / "dev.pub").unlink()
    said = interlock("verify", envelope)
    assert said.status == 3
    assert "bad signature" in said.out


def test_an_expired_receipt_says_since_when(interlock: Interlock, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_RECEIPT_LIFETIME", "0.000001")
    interlock("gate", "artifact-scan", model)
    said = interlock("verify", model)
    assert said.status == 3
    assert "expired at" in said.out


def test_a_corrupt_ledger_row_is_named(interlock: Interlock, model: Path, home: Path) -> None:
    interlock("gate", "artifact-scan", model)
    assert interlock("ledger", "verify").status == 0
    with sqlite3.connect(home / "ledger.db") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        table, column = _envelope_column(database)
        database.execute(f'UPDATE "{table}" SET "{column}" = replace("{column}", \'a\', \'b\')')
    database.close()
    said = interlock("ledger", "verify")
    assert said.status == 3
    assert "entry 1" in said.err


def _envelope_column(database: sqlite3.Connection) -> tuple[str, str]:
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for column in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if column[1] == "envelope":
                return table, column[1]
    raise AssertionError("the ledger has no envelopes")


def test_keys_are_listed_and_limited(interlock: Interlock, tmp_path: Path) -> None:
    pem = tmp_path / "k.pem"
    pem.write_text(interlock("keys", "create").out.split("\n", 1)[1])
    assert interlock("keys", "trust", pem, "--name", "scanner", "--gate", "artifact-scan").status == 0
    assert "artifact-scan" in interlock("keys", "list").out
    assert interlock("keys", "trust", pem, "--name", "../evil").status == 2
    assert interlock("keys", "trust", pem, "--name", "scanner").status == 2


def test_a_query_is_evaluated_over_any_input(interlock: Interlock, tmp_path: Path) -> None:
    document = tmp_path / "input.json"
    document.write_text('{"a": 1}')
    said = interlock("policy", "eval", "--query", "input.a", "--input", document)
    assert said.status == 0
    assert json.loads(said.out)["result"][0]["expressions"][0]["value"] == 1
    document.write_text("{")
    assert interlock("policy", "eval", "--query", "input.a", "--input", document).status == 2


def test_the_doctor_names_isolation_and_engine(interlock: Interlock) -> None:
    said = interlock("doctor", "--format", "json")
    assert said.status == 0
    checks = {check["what"]: check for check in json.loads(said.out)["checks"]}
    assert checks["isolation"]["found"].split(":")[0].split(";")[0] in ("bwrap", "rlimits")
    assert "1.20.2" in checks["policy engine"]["found"]


def test_a_malformed_setting_is_a_usage_error(interlock: Interlock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_ENGINE", "regorus")
    assert interlock("ledger", "list").status == 2
    assert interlock("doctor").status == 3


@pytest.mark.usefixtures("home")
def test_a_defect_is_one_line_and_undecided(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.gate.Settings.load", lambda *_: 1 / 0)
    said = call(capsys, "ledger", "list")
    assert said.status == 3
    assert "a defect of Interlock" in said.err


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        pytest.param("great_expectations", ("data-validation", "--suite", "suite.json"), "gx", id="gx"),
        pytest.param("torch", ("data-poisoning", "--label", "label"), "torch", id="torch"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(
    home: Path, table: Path, package: str, arguments: tuple[str, ...], extra: str
) -> None:
    table.with_name("suite.json").write_text('{"name": "s", "expectations": []}')
    without = f"import sys; sys.modules[{package!r}] = None; from interlock.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", without, "gate", arguments[0], table.name, *arguments[1:]],
        cwd=table.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"interlock[{extra}]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_verify_says_as_json_what_speaks_for_bytes_and_for_what_they_were_made_from(
    interlock: Interlock, model: Path
) -> None:
    receipt = interlock("gate", "artifact-scan", model, "--format", "json").json["receipt_id"]
    said = interlock("verify", model, "--format", "json")
    assert said.status == 0
    assert (said.json["state"], said.json["made_from"], said.json["exit_status"]) == ("valid", [], 0)
    assert [(one["receipt_id"], one["state"]) for one in said.json["receipts"]] == [(receipt, "valid")]
    alone = interlock("verify", receipt, "--format", "json")
    assert [one["verdict"] for one in alone.json["receipts"]] == ["ALLOW"]
