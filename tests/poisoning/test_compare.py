"""Other projects' detectors look beside the scan, and change nothing of what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, flipped, square
from benchmarks.poisoning.text_attacks import docstrings
from tests.poisoning.conftest import Hold

from interlock.gate import Level, MissingExtraError, Observation, UsageError
from interlock.poisoning import BatchStream, Block, PoisoningGate
from interlock.poisoning.compare import PEERS, Gathered, Peer, compared, gathered, peers
from interlock.poisoning.scan import survey
from interlock.poisoning.survey import Survey

QUICK = ("pyod-ecod", "pyod-knn", "cleanlab")


@pytest.fixture(scope="module")
def poisoned(clean: Dataset) -> Dataset:
    return badnets(clean, square(3, 16), rate=0.05, target=0, top=5, left=5, seed=0)


@pytest.fixture(scope="module")
def rows(poisoned: Dataset) -> Gathered:
    return given(BatchStream(lambda: [(poisoned.images, poisoned.labels.tolist())], image_shape=(8, 8)))


def given(source: BatchStream) -> Gathered:
    profile, _ = survey(source, Survey(seed=0, one_scale=source.columns.image_shape is not None))
    return gathered(source, profile)


def gate(**options: Any) -> PoisoningGate:
    return PoisoningGate(**({"label": "label", "image_shape": (8, 8)} | options))


def only(seen: Observation, *, peers_too: bool) -> tuple[Any, ...]:
    findings = [f for f in seen.findings if peers_too or f.rule_id != "data-poisoning.compared"]
    measures = [m for m in seen.measures if peers_too or not m.name.startswith("compared_")]
    return findings, measures, seen.coverage, seen.attachments


def test_peers_are_told_in_notes_and_change_nothing_else(
    poisoned: Dataset, write: Callable[..., Path], hold: Hold
) -> None:
    path = write(poisoned)
    alone, beside = (gate(also=names).look(hold(path)) for names in ((), QUICK))
    assert only(beside, peers_too=False) == only(alone, peers_too=True)
    notes = [f for f in beside.findings if f.rule_id == "data-poisoning.compared"]
    assert [json.loads(note.evidence)["compared"] for note in notes] == list(QUICK)
    assert {note.level for note in notes} == {Level.NOTE}
    assert all(note.message.startswith("For comparison only: ") for note in notes)
    measures = {m.name: m.value for m in beside.measures}
    said = json.loads(notes[0].evidence)
    assert measures["compared_pyod_ecod_rows"] == said["rows"] > 0.04 * 1797
    assert measures["compared_pyod_ecod_shared_rows"] == said["shared_rows"] <= measures["flagged_rows"]


@pytest.mark.parametrize("name", [name for name in PEERS if name.startswith("pyod")])
def test_pyod_flags_a_share_of_every_class(name: str, rows: Gathered) -> None:
    said = compared(PEERS[name], rows, expected=0.1)
    assert not said.failed
    flagged = np.isin(rows.rows, said.rows)
    for label in range(10):
        assert flagged[rows.labels == label].mean() == pytest.approx(0.1, abs=0.04)


@pytest.mark.slow
def test_art_looks_with_a_model_trained_on_the_rows(rows: Gathered) -> None:
    said = {name: compared(PEERS[name], rows) for name in PEERS if name.startswith("art")}
    share = len(said["art-spectral"].rows) / len(rows.rows)
    assert share == pytest.approx(1.5 * 0.05, abs=0.02)
    assert 0.05 < len(said["art-activation-clustering"].rows) / len(rows.rows) < 0.5
    crash = said["art-activation-clustering-relative-size"]
    assert crash.failed.startswith("ValueError") or crash.rows
    again = compared(PEERS["art-spectral"], given(stream_of(rows)))
    assert again.rows == said["art-spectral"].rows


def stream_of(rows: Gathered) -> BatchStream:
    return BatchStream(lambda: [(rows.features, rows.labels.tolist())], image_shape=(8, 8))


def test_cleanlab_flags_labels_that_neighbours_contradict(clean: Dataset) -> None:
    flips = flipped(clean, rate=0.05, seed=0)
    said = compared(
        PEERS["cleanlab"], given(BatchStream(lambda: [(flips.images, flips.labels.tolist())], image_shape=(8, 8)))
    )
    assert np.isin(flips.poisoned, said.rows).mean() > 0.85
    assert len(said.rows) < 1.5 * len(flips.poisoned)
    assert said.scores is not None
    assert said.scores.shape == (1797,)


def fails(*_: Any) -> Any:
    raise RuntimeError("its own\naffair")


def test_a_peer_that_fails_says_so_and_ends_nothing(
    poisoned: Dataset, write: Callable[..., Path], hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Peer(name="broken", packages=("numpy",), look=fails, always="it fails")
    monkeypatch.setattr(peers, "PEERS", {"broken": broken})
    seen = gate(also=["broken"]).look(hold(write(poisoned)))
    (note,) = [f for f in seen.findings if f.rule_id == "data-poisoning.compared"]
    assert "failed (RuntimeError: its own affair)" in note.message
    assert json.loads(note.evidence)["failed"] == "RuntimeError: its own affair"
    assert not [m for m in seen.measures if m.name.startswith("compared_")]


def test_peers_leave_numpys_global_generator_as_it_was(rows: Gathered) -> None:
    np.random.seed(7)
    expected = np.random.random(3).tolist()
    np.random.seed(7)
    compared(PEERS["pyod-ecod"], rows)
    assert np.random.random(3).tolist() == expected


@pytest.mark.parametrize(("also", "said"), [(["nobody"], "no detector 'nobody'"), ("cleanlab", "not one text")])
def test_peers_are_named_rightly(also: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gate(also=also)


def test_a_peer_that_is_not_installed_is_missed_before_anything_is_read(
    clean: Dataset, write: Callable[..., Path], hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "pyod" else find_spec(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'interlock\[compare\]'"):
        gate(also=["pyod-lof"]).look(hold(write(clean)))


def test_what_no_detector_can_look_at_is_shown_to_no_peer(write: Callable[..., Path], hold: Hold) -> None:
    path = write({"a": np.arange(300.0), "label": np.zeros(300, dtype=int)})
    seen = gate(image_shape=None, also=["cleanlab"]).look(hold(path))
    (note,) = [f for f in seen.findings if f.rule_id == "data-poisoning.compared"]
    assert "all rows carry one label" in note.message


def test_texts_and_categories_become_numbers() -> None:
    said = docstrings(("json", "csv", "email", "argparse"), limit=60)
    count = len(said.labels)
    block = Block(
        features=np.zeros((count, 0), dtype=np.float32),
        labels=list(said.labels),
        texts=said.columns,
        categories={"odd": ["odd" if at % 2 else None for at in range(count)]},
    )
    rows = given(BatchStream(lambda: [block], texts=("text",)))
    assert rows.features.shape == (count, 101)
    assert rows.features[:4, 0].tolist() == [0, 1, 0, 1]
    assert np.isfinite(rows.features).all()


def test_a_large_dataset_is_sampled_by_seed_and_said_to_be(monkeypatch: pytest.MonkeyPatch, poisoned: Dataset) -> None:
    monkeypatch.setattr("interlock.poisoning.compare.gathering.MAX_ROWS", 500)
    source = BatchStream(lambda: [(poisoned.images, poisoned.labels.tolist())], image_shape=(8, 8))
    one, two = given(source), given(source)
    assert len(one.rows) == 500
    assert one.left_out == 1297
    assert one.rows.tolist() == two.rows.tolist() == sorted(set(one.rows.tolist()))
    assert (one.labels == poisoned.labels[one.rows]).all()
