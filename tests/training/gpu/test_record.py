"""A record is read as it was written, or not at all, and nobody takes it for a machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.training.gpu.states import HEALTHY, RECORDS, SLICE, STATES, UUID

from interlock.gate import UsageError
from interlock.training.gpu import NvmlProbe, RecordedProbe, gpu_probe, read_record, written_record

TAKEN = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("name", STATES)
def test_the_records_of_the_repository_are_the_states_of_the_tests(name: str) -> None:
    assert (RECORDS / f"{name}.json").read_text(encoding="utf-8") == written_record(STATES[name], taken=TAKEN)
    assert RecordedProbe(RECORDS / f"{name}.json").state() == STATES[name]


def test_a_record_says_of_itself_that_it_is_one() -> None:
    probe = RecordedProbe(RECORDS / "healthy.json")
    assert probe.recorded
    assert [tool.name for tool in probe.tools] == ["interlock-gpu-record"]


def test_a_recorded_probe_knows_the_processes_of_devices_and_slices() -> None:
    assert (
        RecordedProbe(RECORDS / "foreign-process.json").processes(UUID)
        == STATES["foreign-process"].devices[0].processes
    )
    probe = RecordedProbe(RECORDS / "mig.json")
    assert probe.processes(SLICE) == ()
    assert probe.processes("GPU-other") is None
    probe.close()


def spoiled(change: Any) -> str:
    document = json.loads(written_record(HEALTHY, taken=TAKEN))
    change(document)
    return json.dumps(document)


ATTACKS: dict[str, str] = {
    "no-json": "{",
    "no-object": "[]",
    "other-version": spoiled(lambda d: d.update(format="interlock-gpu-record/v2")),
    "further-part": spoiled(lambda d: d.update(note="x")),
    "no-time": spoiled(lambda d: d.update(taken=3)),
    "time-without-offset": spoiled(lambda d: d.update(taken="2026-11-27T12:00:00")),
    "missing-field": spoiled(lambda d: d["state"]["devices"][0].pop("ecc")),
    "further-field": spoiled(lambda d: d["state"].update(healthy=True)),
    "text-for-number": spoiled(lambda d: d["state"]["devices"][0].update(minor="0")),
    "truth-for-number": spoiled(lambda d: d["state"]["devices"][0].update(minor=True)),
    "number-for-truth": spoiled(lambda d: d["state"]["devices"][0].update(ecc_enabled=1)),
    "negative-number": spoiled(lambda d: d["state"]["devices"][0].update(minor=-1)),
    "null-for-uuid": spoiled(lambda d: d["state"]["devices"][0].update(uuid=None)),
    "object-for-array": spoiled(lambda d: d["state"].update(devices={})),
    "pair-of-three": spoiled(lambda d: d["state"].update(lost=[[1, "x", "y"]])),
    "array-for-object": spoiled(lambda d: d["state"].update(confidential=[])),
    "unknown-kind": spoiled(
        lambda d: d["state"]["devices"][0].update(
            processes=[{"pid": 1, "kind": "other", "memory_bytes": None, "name": ""}]
        )
    ),
    "name-twice": '{"format": "interlock-gpu-record/v1", "format": "interlock-gpu-record/v1"}',
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_record_is_refused(attack: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_record(ATTACKS[attack])
    path = tmp_path / "record.json"
    path.write_text(ATTACKS[attack])
    with pytest.raises(UsageError, match="no GPU record"):
        RecordedProbe(path)


def test_a_missing_or_huge_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        RecordedProbe(tmp_path / "none.json")
    huge = tmp_path / "huge.json"
    with huge.open("wb") as stream:
        stream.truncate(5 * 2**20)
    with pytest.raises(UsageError, match="too large"):
        RecordedProbe(huge)


def test_the_record_is_used_only_where_one_is_named() -> None:
    assert isinstance(gpu_probe(), NvmlProbe)
    assert gpu_probe(str(RECORDS / "healthy.json")).recorded
