"""A folder of DAG files, of which Airflow gets to import what lint passed, and nothing else."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tests.airflow.attesting import DAG_FILE, Deployment

from interlock.airflow_plugin.bundles import VerifiedLocalDagBundle
from interlock.airflow_plugin.bundles.pausing import AUDIT_EVENT
from interlock.evidence import KeyRing
from interlock.gate import Stage, Verdict
from interlock.gate.errors import SettingsError, UnavailableError, UsageError

CODE = "print('hello')\n"


@pytest.fixture
def attesting(airflow_database: None, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    return Deployment(deployment)


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    return tmp_path / "dags"


def bundle(dags: Path, *, allow_unattested: tuple[str, ...] = (".airflowignore",)) -> VerifiedLocalDagBundle:
    made = VerifiedLocalDagBundle(name="team", path=str(dags), allow_unattested=allow_unattested)
    made.initialize()
    return made


def seen(made: VerifiedLocalDagBundle) -> dict[str, bytes]:
    """What Airflow finds at the bundle's path."""
    files = (path for path in made.path.rglob("*") if path.is_file())
    return {path.relative_to(made.path).as_posix(): path.read_bytes() for path in files}


def zipped(code: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner.py", code)
    return buffer.getvalue()


def test_an_attested_file_is_seen_as_a_copy_that_nobody_can_write(attesting: Deployment, dags: Path) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    made = bundle(dags)
    assert seen(made) == {"good.py": CODE.encode()}
    assert not made.path.is_relative_to(dags)
    assert (made.path / "good.py").stat().st_mode & 0o222 == 0


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda _: None, id="no-receipt"),
        pytest.param(lambda d: d.attest(CODE + "#"), id="receipt-of-other-bytes"),
        pytest.param(lambda d: d.attest(CODE, key=CryptoSigner.generate_ed25519()), id="receipt-by-untrusted-key"),
        pytest.param(lambda d: d.attest(CODE, age=timedelta(hours=2)), id="receipt-expired"),
        pytest.param(lambda d: d.attest(CODE, age=-timedelta(hours=2)), id="receipt-from-the-future"),
        pytest.param(lambda d: d.attest(CODE, verdict=Verdict.DENY), id="lint-said-no"),
        pytest.param(lambda d: d.attest(CODE, verdict=Verdict.UNDECIDED), id="lint-could-not-tell"),
        pytest.param(lambda d: (d.attest(CODE), d.attest(CODE, verdict=Verdict.DENY)), id="allow-taken-back"),
        pytest.param(lambda d: d.attest(CODE, gate="artifact-scan"), id="receipt-of-another-gate"),
        pytest.param(lambda d: d.attest(CODE, stage=Stage.GUARD), id="receipt-of-a-guard"),
        pytest.param(lambda d: d.attest(CODE, bundle="0" * 64), id="receipt-by-unknown-policy"),
    ],
)
def test_a_file_without_a_receipt_that_counts_is_not_there(
    attesting: Deployment, dags: Path, forge: Callable[[Deployment], object], caplog: pytest.LogCaptureFixture
) -> None:
    (dags / "bad.py").write_text(CODE)
    forge(attesting)
    assert seen(bundle(dags)) == {}
    assert "bad.py is refused" in caplog.text
    assert "Next: " in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("helper.py", b"x = 1"),
        ("HELPER.PY", b"x = 1"),
        ("pkg/__init__.py", b""),
        ("helper.pyc", b"\0"),
        ("native.cpython-311-x86_64-linux-gnu.so", b"\x7fELF"),
        ("dags.zip", zipped(CODE)),
        pytest.param("query.sql", zipped(CODE), id="zip-that-calls-itself-sql"),
        pytest.param("picture.png", b"\x89PNG" + zipped(CODE), id="picture-with-a-zip-behind-it"),
    ],
)
def test_code_of_every_kind_needs_a_receipt_even_where_its_name_is_allowed(
    attesting: Deployment, dags: Path, name: str, content: bytes
) -> None:
    (dags / name).parent.mkdir(exist_ok=True)
    (dags / name).write_bytes(content)
    assert seen(bundle(dags, allow_unattested=("*",))) == {}
    attesting.attest(content)
    assert seen(bundle(dags)) == {name: content}


def test_data_is_left_out_unless_the_administrator_names_it(attesting: Deployment, dags: Path) -> None:
    for name in ("query.sql", "conf/deep.yaml", "README.md", ".airflowignore"):
        (dags / name).parent.mkdir(exist_ok=True)
        (dags / name).write_text(name)
    assert set(seen(bundle(dags))) == {".airflowignore"}
    assert set(seen(bundle(dags, allow_unattested=("*.sql", "conf/*")))) == {"query.sql", "conf/deep.yaml"}


def test_bytes_that_change_after_the_check_are_not_imported(attesting: Deployment, dags: Path) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    made = bundle(dags)
    (dags / "good.py").write_text("raise SystemExit")
    assert seen(made) == {"good.py": CODE.encode()}
    made.refresh()
    assert seen(made) == {}


def test_a_changed_snapshot_is_made_anew(attesting: Deployment, dags: Path, caplog: pytest.LogCaptureFixture) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    place = bundle(dags).path
    (place / "good.py").chmod(0o644)
    (place / "good.py").write_text("raise SystemExit")
    (place / "more.py").write_text("raise SystemExit")
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "good.cpython-311.pyc").write_bytes(b"planted")
    made = bundle(dags)
    assert made.path == place
    assert seen(made) == {"good.py": CODE.encode()}
    assert "somebody changed it" in caplog.text


def test_planted_bytecode_does_not_outlive_the_next_check(attesting: Deployment, dags: Path) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    made = bundle(dags)
    (made.path / "__pycache__").mkdir()
    (made.path / "__pycache__" / "good.cpython-311.pyc").write_bytes(b"planted")
    made.refresh()
    assert seen(made) == {"good.py": CODE.encode()}


@pytest.mark.parametrize("target", ["file-outside", "folder-outside", "file-inside", "nowhere"])
def test_a_symlink_is_refused_and_the_rest_is_seen(
    attesting: Deployment, dags: Path, tmp_path: Path, target: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "evil.py").write_text(CODE)
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    places = {"file-outside": outside / "evil.py", "folder-outside": outside, "file-inside": dags / "good.py"}
    (dags / "link").symlink_to(places.get(target, tmp_path / "nowhere"))
    (dags / "link.py").symlink_to(places.get(target, tmp_path / "nowhere"))
    assert seen(bundle(dags)) == {"good.py": CODE.encode()}


def test_a_fifo_is_refused_without_waiting_for_a_writer(attesting: Deployment, dags: Path) -> None:
    os.mkfifo(dags / "pipe.py")
    assert seen(bundle(dags)) == {}


def test_the_folder_itself_may_be_a_link_as_git_sync_makes_one(
    attesting: Deployment, dags: Path, tmp_path: Path
) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    (tmp_path / "current").symlink_to(dags)
    assert set(seen(bundle(tmp_path / "current"))) == {"good.py"}


def test_a_missing_folder_is_an_outage_and_no_refusal(attesting: Deployment, dags: Path) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    made = bundle(dags)
    dags.rename(dags.with_name("unmounted"))
    with pytest.raises(UnavailableError, match="cannot be read"):
        made.refresh()
    assert set(seen(made)) == {"good.py"}


def test_a_receipt_that_ci_exported_speaks_for_a_file(
    attesting: Deployment, dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dags / "good.py").write_text(CODE)
    elsewhere = Deployment(tmp_path / "ci", lint_key=attesting.lint_key)
    elsewhere.attest(CODE)
    folder = tmp_path / "exported"
    elsewhere.ledger.export(folder, keyring=KeyRing.load(elsewhere.settings))
    assert seen(bundle(dags)) == {}
    monkeypatch.setenv("INTERLOCK_RECEIPTS", str(folder))
    assert seen(bundle(dags)) == {"good.py": CODE.encode()}
    (folder / "receipts.intoto.jsonl").write_text("")
    assert seen(bundle(dags)) == {}


def test_a_damaged_ledger_refuses_the_files_it_speaks_of(attesting: Deployment, dags: Path) -> None:
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    with sqlite3.connect(attesting.home / "ledger.db") as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("UPDATE interlock_entries SET recorded = '2020-01-01T00:00:00.000000Z'")
    assert seen(bundle(dags)) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_storage_folder_of_somebody_else_is_refused(attesting: Deployment, dags: Path, tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    os.chown(tmp_path / "bundles", 65534, 65534)
    with pytest.raises(SettingsError, match="others could replace") as caught:
        bundle(dags)
    assert "dag_bundle_storage_path" in str(caught.value)


def test_a_storage_folder_that_everybody_may_write_to_is_refused(
    attesting: Deployment, dags: Path, tmp_path: Path
) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles").chmod(0o777)
    with pytest.raises(SettingsError, match="others could replace"):
        bundle(dags)


def test_patterns_are_a_list(attesting: Deployment, dags: Path) -> None:
    with pytest.raises(UsageError, match="list of patterns"):
        VerifiedLocalDagBundle(name="team", path=str(dags), allow_unattested="*.sql")


def test_an_old_snapshot_is_removed_when_nobody_holds_it(
    attesting: Deployment, dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_AGE_THRESHOLD", "0")
    (dags / "good.py").write_text(CODE)
    attesting.attest(CODE)
    attesting.attest(CODE + "#")
    task, processor = bundle(dags), bundle(dags)
    old = task.path
    (dags / "good.py").write_text(CODE + "#")
    processor.refresh()
    assert processor.path != old
    assert seen(task) == {"good.py": CODE.encode()}
    del task
    processor.refresh()
    assert not old.exists()
    assert seen(processor) == {"good.py": f"{CODE}#".encode()}


def serialized(*dags: tuple[str, str, str]) -> None:
    """DAGs as the processor wrote them before: (bundle, file, id)."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        for name in {bundle for bundle, _, _ in dags}:
            session.merge(DagBundleModel(name=name))
        session.flush()
        for name, file, dag_id in dags:
            row = DagModel()  # type: ignore[no-untyped-call]  # Airflow's own
            row.dag_id, row.bundle_name, row.relative_fileloc, row.fileloc = dag_id, name, file, f"/{file}"
            row.is_paused = row.is_stale = False
            session.merge(row)


def states() -> dict[str, tuple[bool, bool]]:
    """Whether each DAG is paused, and off the list."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return {dag.dag_id: (dag.is_paused, dag.is_stale) for dag in session.scalars(select(DagModel))}


def test_what_was_serialized_from_a_refused_file_is_paused_and_nothing_else(attesting: Deployment, dags: Path) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    for name in ("good.py", "bad.py", "bad.zip"):
        (dags / name).write_text(name)
    attesting.attest("good.py")
    serialized(
        ("team", "good.py", "good"),
        ("team", "bad.py", "bad"),
        ("team", "bad.zip/inner.py", "zipped"),
        ("team", "deleted.py", "deleted"),
        ("others", "bad.py", "theirs"),
    )
    bundle(dags)
    on, off = (False, False), (True, True)
    expected = {"good": on, "bad": off, "zipped": off, "deleted": on, "theirs": on}
    assert {dag_id: state for dag_id, state in states().items() if dag_id in expected} == expected
    events = [json.loads(event.event) for event in attesting.ledger.events()]
    assert {event["kind"] for event in events} == {"bundle-refused"}
    assert {event["pipeline"] for event in events} == {"", "bad", "zipped"}
    with create_session() as session:
        said = session.scalars(select(Log.extra).where(Log.event == AUDIT_EVENT, Log.dag_id == "bad")).all()
    assert any("bad.py is refused: it has no pipeline receipt" in str(text) for text in said)


def test_a_refresh_that_refuses_nothing_new_records_nothing_new(attesting: Deployment, dags: Path) -> None:
    (dags / "bad.py").write_text(CODE)
    serialized(("team", "bad.py", "again"))
    made = bundle(dags)
    before = len(attesting.ledger.events())
    made.refresh()
    assert len(attesting.ledger.events()) == before
    serialized(("team", "bad.py", "again"))  # somebody unpauses it
    made.refresh()
    assert states()["again"] == (True, True)


def test_a_worker_finds_no_refused_file_and_pauses_nothing(
    attesting: Deployment, dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import settings
    from airflow.dag_processing.dagbag import DagBag

    mark = tmp_path / "mark"
    (dags / "bad.py").write_text(DAG_FILE.format(marker=str(mark), dag_id="unseen"))
    serialized(("team", "bad.py", "unseen"))
    with monkeypatch.context() as denied:
        denied.delattr(settings, "engine")
        made = bundle(dags)
    assert states()["unseen"] == (False, False)
    bag = DagBag(dag_folder=made.path / "bad.py", safe_mode=False, bundle_path=made.path)
    assert bag.dags == {}
    assert not mark.exists()
