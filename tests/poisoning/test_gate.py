"""The gate over files: what it measures and finds, and what it says of input that cannot be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, flipped, square
from tests.gate.doubles import CONTEXT, FixedDecider, ListRecorder
from tests.poisoning.conftest import Hold, columns

from interlock.gate import (
    Gate,
    Level,
    Observation,
    OpenSubject,
    SubjectError,
    UnsafeSubjectError,
    UsageError,
    Verdict,
    look,
    run_gate,
)
from interlock.gate.documents import canonical_json, report_document
from interlock.poisoning import PoisoningGate
from interlock.poisoning.reading import npz as readers

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def poisoned(clean: Dataset) -> Dataset:
    return badnets(clean, square(3, 16), rate=0.05, target=0, top=5, left=5, seed=0)


def gate(**options: Any) -> PoisoningGate:
    return PoisoningGate(**({"label": "label", "image_shape": (8, 8)} | options))


def measures(seen: Observation) -> dict[str, float]:
    return {measure.name: measure.value for measure in seen.measures}


def rules(seen: Observation) -> list[str]:
    return [finding.rule_id.removeprefix("data-poisoning.") for finding in seen.findings]


def test_clean_digits_are_silent(clean: Dataset, write: Write, hold: Hold) -> None:
    seen = gate().look(hold(write(clean)))
    assert measures(seen) | {"constant": 0} == {
        "rows": 1797,
        "features": 64,
        "classes": 10,
        "smallest_class_rows": 174,
        "smallest_class_fraction": 174 / 1797,
        "unlabelled_rows": 0,
        "incomplete_rows": 0,
        "flagged_rows": 0,
        "flagged_fraction": 0,
        "strongest": 0,
        "detectors_run": 5,
        "detectors_skipped": 0,
        "triggers": 0,
        "knn_flagged_rows": 0,
        "knn_strength": 0,
        "density_isolated_fraction": 0,
        "density_crowded_fraction": 0,
        "pattern_flagged_rows": 0,
        "pattern_strength": 0,
        "moving_pattern_flagged_rows": 0,
        "moving_pattern_strength": 0,
        "duplicates_flagged_rows": 0,
        "duplicates_strength": 0,
        "pattern_scan_flagged_rows": 0,
        "pattern_scan_strength": 0,
        "constant": 0,
    }
    assert rules(seen) == ["constant-features"]
    assert seen.attachments == ()
    assert seen.coverage.looked_at == ("train.parquet",)


def test_a_trigger_is_named_with_place_class_patch_and_rows(poisoned: Dataset, write: Write, hold: Hold) -> None:
    seen = gate().look(hold(write(poisoned)))
    finding = seen.findings[0]
    said = json.loads(finding.evidence)
    assert finding.rule_id == "data-poisoning.repeated-pattern"
    assert finding.level is Level.ERROR
    assert said["box"] == {"top": 5, "left": 5, "height": 3, "width": 3}
    assert said["patch"] == [[16.0] * 3] * 3
    assert (said["label"], said["rows"]) == ("0", len(poisoned.poisoned))
    assert said["first_rows"] == poisoned.poisoned[:50].tolist()
    assert finding.location.path == "train.parquet"
    assert finding.location.row == poisoned.poisoned[0]
    assert measures(seen)["strongest"] > 0.9
    assert measures(seen)["flagged_fraction"] == pytest.approx(0.05, abs=0.002)


def test_flipped_labels_are_warnings(clean: Dataset, write: Write, hold: Hold) -> None:
    seen = gate().look(hold(write(flipped(clean, rate=0.05, seed=0))))
    found = [f for f in seen.findings if f.rule_id == "data-poisoning.label-inconsistency"]
    assert found
    assert {f.level for f in found} == {Level.WARNING}
    assert json.loads(found[0].evidence)["explained_by_overlap"] < json.loads(found[0].evidence)["rows"]


def test_pictures_show_flagged_rows_beside_others_within_the_limit(poisoned: Dataset, write: Write, hold: Hold) -> None:
    attachments = dict(gate().look(hold(write(poisoned))).attachments)
    (gallery,) = json.loads(attachments["pictures"])["galleries"]
    assert len(attachments["pictures"]) < 400_000
    assert gallery["trigger"]["png"].startswith("iVBOR")
    assert len(gallery["pairs"]) == 12
    assert gallery["pairs"][0]["flagged"]["box"] == [5 / 8, 5 / 8, 3 / 8, 3 / 8]
    assert "label 0" in gallery["pairs"][0]["flagged"]["caption"]


def test_bars_show_whose_rows_are_flagged(poisoned: Dataset, write: Write, hold: Hold) -> None:
    attachments = dict(gate().look(hold(write(poisoned))).attachments)
    (bars,) = json.loads(attachments["charts"])["charts"]
    assert [bar["name"] for bar in bars["bars"]] == ["0"]
    assert bars["bars"][0]["flagged"] == len(poisoned.poisoned)
    assert bars["none"] == 9


def test_the_report_is_the_same_for_the_same_seed(poisoned: Dataset, write: Write, hold: Hold) -> None:
    path = write(poisoned)
    one, two = (look(gate(seed=3), hold(path)) for _ in range(2))
    same = ("findings", "measures", "coverage", "attachments", "configuration", "tools")
    documents = [report_document(report) for report in (one, two)]
    assert [documents[0][name] for name in same] == [documents[1][name] for name in same]


def csv(data: Dataset, path: Path) -> Path:
    import pyarrow.csv as pc  # type: ignore[import-untyped]  # no stubs are published

    pc.write_csv(pa.table(columns(data)), path)
    return path


def npz(data: Dataset, path: Path) -> Path:
    np.savez(path, images=data.images.reshape(-1, 8, 8).astype(np.uint8), label=data.labels)
    return path


@pytest.mark.parametrize(("write_as", "name"), [(csv, "train.csv"), (npz, "train.npz")], ids=["csv", "npz"])
def test_other_formats_give_the_findings_of_parquet(
    poisoned: Dataset, write: Write, hold: Hold, write_as: Any, name: str
) -> None:
    path = write(poisoned)
    expected = gate().look(hold(path))
    seen = gate().look(hold(write_as(poisoned, path.with_name(name))))
    assert measures(seen) == measures(expected)
    assert [f.evidence for f in seen.findings] == [f.evidence for f in expected.findings]


def test_a_folder_is_one_dataset_and_rows_are_named_in_their_file(poisoned: Dataset, write: Write, hold: Hold) -> None:
    first, second = (poisoned.taken(rows) for rows in np.split(np.arange(1797), [900]))
    write(first, "lake/part-0.parquet")
    write(second, "lake/part-1.parquet")
    (write(first, "lake/_SUCCESS.txt").parent / "_SUCCESS").write_text("")
    folder = write(first, "lake/part-0.parquet").parent
    seen = gate().look(hold(folder))
    assert measures(seen)["rows"] == 1797
    assert measures(seen)["flagged_rows"] == len(poisoned.poisoned)
    assert seen.coverage.looked_at == ("part-0.parquet", "part-1.parquet")
    assert {gap.path for gap in seen.coverage.skipped} == {"_SUCCESS", "_SUCCESS.txt"}
    row, place = seen.findings[0].location.row, seen.findings[0].location.path
    assert (place, row) == ("part-0.parquet", poisoned.poisoned[0])


def test_a_file_that_nobody_reads_keeps_the_outcome_undecided(
    clean: Dataset, write: Write, tmp_path: Path, hold: Hold
) -> None:
    folder = write(clean, "lake/part-0.parquet").parent
    (folder / "more.jsonl").write_text("{}")

    class Held:
        def open(self, uri: str) -> Any:
            from contextlib import nullcontext

            return nullcontext(hold(folder))

    outcome = run_gate(
        gate(), str(folder), context=CONTEXT, opener=Held(), decider=FixedDecider(), recorder=ListRecorder()
    )
    assert outcome.decision.verdict is Verdict.UNDECIDED
    assert "more.jsonl" in outcome.decision.errors[0]


def test_without_an_image_shape_nobody_looks_at_pixels_and_that_is_said(
    clean: Dataset, write: Write, hold: Hold
) -> None:
    seen = gate(image_shape=None).look(hold(write(clean)))
    assert measures(seen)["detectors_run"] == 3
    assert measures(seen)["detectors_skipped"] == 1
    assert "pattern_strength" not in measures(seen)
    (skipped,) = (f.message for f in seen.findings if f.rule_id == "data-poisoning.detector-skipped")
    assert "one value" in skipped
    assert [f.message.split()[1] for f in seen.findings if f.rule_id == "data-poisoning.kind-not-named"] == [
        "image_shape",
        "text",
    ]


def test_a_document_is_looked_at_by_those_who_read(write: Write, hold: Hold) -> None:
    table = {"said": [f"one word {row} and another {row % 7}" for row in range(200)], "label": [0, 1] * 100}
    seen = gate(image_shape=None, features=None, text=["said"]).look(hold(write(table)))
    assert measures(seen)["detectors_run"] >= 3
    assert "knn_strength" not in measures(seen)
    assert "data-poisoning.kind-not-named" not in {finding.rule_id for finding in seen.findings}


ROWS = 300
NOISE = np.random.default_rng(0).normal(size=(ROWS, 3))
TABLE = {"a": NOISE[:, 0], "b": NOISE[:, 1], "c": NOISE[:, 2], "label": np.arange(ROWS) % 3}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({name: column[:3] for name, column in TABLE.items()}, "fewer than", id="3-rows"),
        pytest.param(TABLE | {"label": np.zeros(ROWS, dtype=int)}, "one label", id="one-class"),
        pytest.param(TABLE | {n: np.ones(ROWS) for n in "abc"}, "constant", id="constant-features"),
        pytest.param(TABLE | {n: np.full(ROWS, np.nan) for n in "abc"}, "constant", id="only-nan"),
        pytest.param(TABLE | {"label": np.arange(ROWS)}, "no class label", id="every-row-its-own-label"),
        pytest.param(TABLE | {"label": [None] * ROWS}, "no row carries a label", id="no-labels"),
    ],
)
def test_what_no_detector_can_look_at_counts_as_not_looked_at(
    change: dict[str, Any], reason: str, write: Write, hold: Hold
) -> None:
    seen = gate(image_shape=None).look(hold(write(change)))
    assert seen.coverage.nothing_looked_at
    assert reason in seen.coverage.failed[0].reason
    assert measures(seen)["detectors_run"] == 0


def test_rows_without_label_and_missing_values_are_said(clean: Dataset, write: Write, hold: Hold) -> None:
    table = columns(clean)
    label = table["label"].astype(object)
    label[:5] = None
    table["p10"] = np.where(np.arange(1797) < 7, np.nan, table["p10"])
    table["p11"] = np.where(np.arange(1797) == 9, np.inf, table["p11"])
    seen = gate().look(hold(write(table | {"label": pa.array(label.tolist(), pa.int64())})))
    assert measures(seen)["unlabelled_rows"] == 5
    assert measures(seen)["incomplete_rows"] == 8
    assert measures(seen)["detectors_run"] == 5
    assert {"unlabelled-rows", "incomplete-rows"} <= set(rules(seen))
    assert "without a label" in seen.coverage.skipped[0].reason


def test_columns_of_neither_numbers_nor_text_are_left_out_and_said_to_be(write: Write, hold: Hold) -> None:
    seen = gate(image_shape=None).look(hold(write(TABLE | {"day": [date(2026, 1, 1)] * ROWS})))
    assert measures(seen)["features"] == 3
    assert "'day'" in seen.coverage.skipped[0].reason


def test_texts_sources_and_ids_are_no_features(write: Write, hold: Hold) -> None:
    table = TABLE | {"said": ["hello"] * ROWS, "who": list(range(ROWS)), "id": list(range(ROWS))}
    seen = gate(image_shape=None, text=["said"], source="who", id="id").look(hold(write(table)))
    assert measures(seen)["features"] == 3
    assert seen.coverage.skipped == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": ["nowhere"]}, "no text column 'nowhere'"),
        ({"text": ["number"]}, "holds int64, not text"),
        ({"source": "nowhere"}, "no source column 'nowhere'"),
        ({"id": "nowhere"}, "no id column 'nowhere'"),
    ],
    ids=["no-text", "text-of-numbers", "no-source", "no-id"],
)
def test_a_named_column_that_cannot_be_is_named(options: dict[str, Any], said: str, write: Write, hold: Hold) -> None:
    with pytest.raises(SubjectError, match=said):
        gate(image_shape=None, **options).look(hold(write(TABLE | {"number": list(range(ROWS))})))


def test_a_column_cannot_be_two_things() -> None:
    with pytest.raises(UsageError, match="two things"):
        gate(text=["label"])


def test_labels_may_be_text_and_hostile(clean: Dataset, write: Write, hold: Hold) -> None:
    flips = flipped(clean, rate=0.05, seed=0)
    labels = [f"<script>{label}</script>" + "é" * 100 for label in flips.labels]
    seen = gate().look(hold(write(columns(flips) | {"label": labels})))
    assert measures(seen)["classes"] == 10
    assert measures(seen)["knn_flagged_rows"] > 50
    canonical_json([f.evidence for f in seen.findings])


def test_labels_of_several_types_are_one_class(tmp_path: Path, clean: Dataset, write: Write, hold: Hold) -> None:
    write(columns(clean) | {"label": clean.labels.astype(np.float64)}, "lake/a.parquet")
    folder = write(columns(clean) | {"label": clean.labels.astype(str)}, "lake/b.parquet").parent
    assert measures(gate().look(hold(folder)))["classes"] == 10


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        pytest.param({"label": "klass"}, {}, "no label column 'klass'", id="missing-label"),
        pytest.param({"features": ["a", "z"]}, {}, "no feature column 'z'", id="missing-feature"),
        pytest.param({"features": ["a", "name"]}, {"name": ["x"] * ROWS}, "not numbers", id="text-feature"),
        pytest.param({"image_shape": (8, 8)}, {}, "no 8x8 image", id="wrong-shape"),
        pytest.param({}, {"label": [[1]] * ROWS}, "lists or records", id="nested-label"),
        pytest.param({"features": None}, {n: [b"x"] * ROWS for n in "abc"}, "no numeric column", id="no-numbers"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    options: dict[str, Any], change: dict[str, Any], message: str, write: Write, hold: Hold
) -> None:
    with pytest.raises(SubjectError, match=message):
        gate(**({"image_shape": None} | options)).look(hold(write(TABLE | change)))


def test_an_empty_table_is_refused(write: Write, hold: Hold) -> None:
    with pytest.raises(SubjectError, match="no rows"):
        gate(image_shape=None).look(hold(write({name: column[:0] for name, column in TABLE.items()})))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("train.parquet", b"PAR1 and nothing more", id="truncated-parquet"),
        pytest.param("train.parquet", b"", id="empty-parquet"),
        pytest.param("train.csv", b"", id="empty-csv"),
        pytest.param("train.csv", b"a,label\n1,2\n1,2,3\n", id="ragged-csv"),
        pytest.param("train.csv", b"a,label\n\xff\xfe,2\n", id="csv-in-no-utf8"),
        pytest.param("train.npz", b"PK\x03\x04 and nothing more", id="truncated-npz"),
        pytest.param("train.npz", b"", id="empty-npz"),
        pytest.param("train.jsonl", b"{}", id="unknown-format"),
    ],
)
def test_files_that_cannot_be_read_are_named(name: str, content: bytes, tmp_path: Path, hold: Hold) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SubjectError) as caught:
        gate(image_shape=None).look(hold(tmp_path / name))
    assert name in str(caught.value)


def test_a_parquet_that_ends_in_the_middle_is_refused(clean: Dataset, write: Write, hold: Hold) -> None:
    path = write(clean)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + whole[-200:])
    with pytest.raises(SubjectError):
        gate().look(hold(path))


def test_pickles_in_an_npz_are_never_loaded(tmp_path: Path, hold: Hold) -> None:
    np.savez(tmp_path / "train.npz", label=np.array([{}] * 5, dtype=object), images=np.zeros((5, 4)))
    with pytest.raises(SubjectError, match="npz"):
        gate(image_shape=None).look(hold(tmp_path / "train.npz"))


def test_an_npz_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "train.npz", label=np.zeros(1000), images=np.zeros((1000, 64)))
    monkeypatch.setattr(readers, "MAX_NPZ_BYTES", 10_000)
    with pytest.raises(UnsafeSubjectError, match="unpack"):
        gate(image_shape=None).look(hold(tmp_path / "train.npz"))


def test_files_of_one_folder_must_agree(clean: Dataset, write: Write, hold: Hold) -> None:
    write(TABLE, "lake/a.parquet")
    folder = write({name: column for name, column in TABLE.items() if name != "c"}, "lake/b.parquet").parent
    with pytest.raises(SubjectError, match="2 features here, but 3"):
        gate(image_shape=None).look(hold(folder))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"label": ""}, id="no-label-name"),
        pytest.param({"features": []}, id="no-features"),
        pytest.param({"features": "abc"}, id="features-as-text"),
        pytest.param({"features": ["label"]}, id="label-as-feature"),
        pytest.param({"image_shape": (8,)}, id="one-side"),
        pytest.param({"image_shape": (8, 0)}, id="no-side"),
        pytest.param({"image_shape": (8, 8.5)}, id="half-a-pixel"),
        pytest.param({"seed": -1}, id="negative-seed"),
        pytest.param({"seed": True}, id="seed-as-truth-value"),
    ],
)
def test_a_gate_that_is_set_wrongly_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        gate(**options)


def test_a_device_that_is_not_there_is_a_usage_error(clean: Dataset, write: Write, hold: Hold) -> None:
    with pytest.raises(UsageError, match="device"):
        gate(device="cuda:99").look(hold(write(clean)))


def test_it_is_a_gate() -> None:
    one: Gate = gate()
    assert one.kind == "data-poisoning"
    assert {tool.name for tool in one.tools} == {"numpy", "pyarrow", "torch"}
    canonical_json(one.configuration())


def test_rows_are_read_in_many_small_row_groups(poisoned: Dataset, write: Write, hold: Hold) -> None:
    opened: OpenSubject = hold(write(poisoned, "small.parquet", row_group=50))
    assert pq.ParquetFile(opened.path).metadata.num_row_groups == 36
    assert measures(gate().look(opened))["flagged_rows"] == len(poisoned.poisoned)
