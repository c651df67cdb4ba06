"""Recorded losses after the run: written by untrusted code, merged, ranked, and moved out of what is published."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from interlock.poisoning.models import LossRecord
from interlock.training.watching import traces
from interlock.training.watching.traces import Trace, looked_at


def written(path: Path, losses: NDArray[np.float32]) -> Path:
    np.savez_compressed(path, losses=losses)
    return path


def curves(rows: int = 300, epochs: int = 9) -> NDArray[np.float32]:
    """Losses that go down, but for rows 7 and 8, which are never learned; row 5 is learned first."""
    rng = np.random.default_rng(0)
    losses = 2.3 * np.exp(-0.5 * np.arange(epochs)) * rng.uniform(0.8, 1.2, (rows, 1))
    losses[[7, 8]] = [[4.0], [3.0]]
    losses[5, 1:] = 0.001
    return np.asarray(losses, dtype=np.float32)


def rules(trace: Trace) -> list[str]:
    return [finding.rule_id for finding in trace.findings]


def test_rows_that_were_learned_first_or_never_are_named(tmp_path: Path) -> None:
    written(tmp_path / "losses.npz", curves())
    trace = looked_at(tmp_path, to=None, look=True)
    (finding,) = trace.findings
    assert finding.rule_id == "training.learning-order"
    evidence = json.loads(finding.evidence)
    assert evidence["never_learned"] == [7, 8]
    assert evidence["learned_first"][0] == 5
    assert {measure.name: measure.value for measure in trace.measures} == {
        "recorded_rows": 300,
        "recorded_epochs": 9,
        "recorded_losses": 1.0,
        "never_learned": 2,
    }
    assert (tmp_path / "losses.npz").is_file()


def test_files_of_several_processes_become_one(tmp_path: Path) -> None:
    losses = curves()
    first, second = losses.copy(), losses.copy()
    first[::2], second[1::2] = np.nan, np.nan
    written(tmp_path / "losses.npz", first)
    written(tmp_path / "losses.rank1.npz", second)
    assert rules(looked_at(tmp_path, to=None, look=True)) == ["training.learning-order"]
    assert [path.name for path in tmp_path.iterdir()] == ["losses.npz"]
    assert np.array_equal(LossRecord.read(tmp_path / "losses.npz").losses, losses)


def test_losses_that_have_a_place_of_their_own_leave_the_output(tmp_path: Path) -> None:
    out, to = tmp_path / "out", tmp_path / "kept" / "losses.npz"
    out.mkdir()
    to.parent.mkdir()
    written(out / "losses.npz", curves())
    looked_at(out, to=to, look=False)
    assert not list(out.iterdir())
    assert len(LossRecord.read(to).losses) == 300


def test_too_few_epochs_are_not_ranked_and_the_report_says_so(tmp_path: Path) -> None:
    written(tmp_path / "losses.npz", curves()[:, :2])
    assert rules(looked_at(tmp_path, to=None, look=True)) == ["training.losses-not-ranked"]


def test_an_epoch_without_any_loss_changes_nothing(tmp_path: Path) -> None:
    losses = curves(epochs=20)
    losses[:, 4] = np.nan
    written(tmp_path / "losses.npz", losses)
    (finding,) = looked_at(tmp_path, to=None, look=True).findings
    assert json.loads(finding.evidence)["never_learned"] == [7, 8]


def test_a_run_without_recorded_losses_has_none(tmp_path: Path) -> None:
    assert looked_at(tmp_path, to=None, look=True) == Trace()


def header_only(shape: str) -> bytes:
    """An array that claims a shape and holds nothing of it."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def archive(content: bytes, *, damaged: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("losses.npy", content)
    data = bytearray(buffer.getvalue())
    if damaged:
        data[45:60] = b"\xff" * 15
    return bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04 no archive", id="no-archive"),
        pytest.param(archive(b"no array"), id="no-array"),
        pytest.param(archive(header_only("(1000000000, 1000)")), id="a-shape-that-nothing-stands-behind"),
        pytest.param(archive(bytes(np.random.default_rng(0).bytes(4000)), damaged=True), id="damaged-deflate"),
        pytest.param(archive(header_only("(-1, 3)")), id="negative-shape"),
    ],
)
def test_a_file_that_is_no_record_is_a_warning_and_harms_nobody(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "losses.npz").write_bytes(content)
    assert rules(looked_at(tmp_path, to=None, look=True)) == ["training.losses-unreadable"]


def test_a_file_that_unpacks_to_more_than_is_looked_at_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "losses.npz", np.zeros((1000, 1000), dtype=np.float32))
    monkeypatch.setattr(traces, "MAX_BYTES", 2**20)
    trace = looked_at(tmp_path, to=None, look=True)
    assert "bytes of losses" in trace.findings[0].message


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    out, secret = tmp_path / "out", written(tmp_path / "elsewhere.npz", curves())
    out.mkdir()
    if kind == "link":
        (out / "losses.npz").symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(out / "losses.npz")
    else:
        (out / "losses.npz").mkdir()
    assert looked_at(out, to=tmp_path / "kept.npz", look=True) == Trace()
    assert not (tmp_path / "kept.npz").exists()
