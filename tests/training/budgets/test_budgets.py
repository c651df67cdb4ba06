"""Amounts, prices, counters, and the safeguard by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import interlock.training.budgets
from interlock.gate import Json, PolicyError, UsageError
from interlock.training.budgets import RESOURCES, Amounts, PriceList, price_list
from interlock.training.budgets.account import Estimate, Standing
from interlock.training.budgets.meters import NvmlEnergy, RaplEnergy, energy_meter, processor_seconds, restarts
from interlock.training.budgets.said import beforehand_lines, left_of
from interlock.training.budgets.values import UNKNOWN, checked_month, month_of, total

NOW = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
LIST: dict[str, Json] = {
    "version": "2",
    "valid_from": "2026-11-01T00:00:00Z",
    "gpu_hour": {"NVIDIA H100 80GB HBM3": 3.0, "any": 1.0},
    "cpu_hour": 0.05,
    "kwh": 0.3,
}
some = st.none() | st.floats(0, 1e6)
amounts = st.builds(Amounts, gpu_hours=some, energy_kwh=some, money=some)


def test_exported_members() -> None:
    for name in interlock.training.budgets.__all__:
        assert getattr(interlock.training.budgets, name) is not None
    with pytest.raises(AttributeError):
        _ = interlock.training.budgets.nothing


@given(amounts, amounts)
def test_a_sum_is_unknown_where_a_part_is_and_never_less_than_a_part(one: Amounts, other: Amounts) -> None:
    both = total([one, other])
    assert both == one.plus(other) == other.plus(one)
    for name in RESOURCES:
        parts = (getattr(one, name), getattr(other, name))
        value = getattr(both, name)
        assert (value is None) == (None in parts)
        assert value is None or value >= max(parts)
    assert Amounts.of(both.document()) == both


@pytest.mark.parametrize(
    "wrong",
    [{"gpu_hours": -1}, {"money": float("nan")}, {"money": float("inf")}, {"money": True}, {"money": "5"}, {"euro": 1}],
)
def test_a_budget_is_a_number_from_zero_on(wrong: dict[str, Json]) -> None:
    with pytest.raises(UsageError):
        Amounts.of(wrong)


def test_months_are_those_of_utc() -> None:
    assert month_of(NOW) == "2026-11"
    assert month_of(NOW.astimezone(tz=None)) == "2026-11"
    assert checked_month("2026-11") == "2026-11"
    for wrong in ("2026-13", "11/2026", "", "2026-11-01"):
        with pytest.raises(UsageError, match="a month is"):
            checked_month(wrong)


def prices(*lists: Json) -> dict[str, Json]:
    return {"interlock": {"prices": {"currency": "EUR", "lists": list(lists)}}}


def test_the_newest_valid_price_list_counts() -> None:
    old = LIST | {"version": "1", "valid_from": "2026-10-01T00:00:00Z"}
    coming = LIST | {"version": "3", "valid_from": "2026-12-01T00:00:00Z"}
    found = price_list(prices(coming, LIST, old), NOW)
    assert found is not None
    assert (found.version, found.currency) == ("2", "EUR")
    assert price_list(prices(coming), NOW) is None
    nothing: tuple[dict[str, Json], ...] = ({}, {"interlock": {}}, {"interlock": {"prices": {}}}, {"interlock": 7})
    for data in nothing:
        assert price_list(data, NOW) is None


@pytest.mark.parametrize(
    "table",
    [
        {"lists": []},
        {"currency": "euro", "lists": []},
        {"currency": "EUR", "lists": [{"version": "1"}]},
        {"currency": "EUR", "lists": [LIST | {"cpu_hour": -1}]},
        {"currency": "EUR", "lists": [LIST | {"kwh": "0.3"}]},
        {"currency": "EUR", "lists": [LIST | {"gpu_hour": {"any": None}}]},
        {"currency": "EUR", "lists": [LIST | {"valid_from": "soon"}]},
        {"currency": "EUR", "lists": [LIST | {"valid_from": "2026-11-01T00:00:00"}]},
        [1],
        "free",
    ],
)
def test_a_price_table_of_another_shape_is_refused(table: Json) -> None:
    with pytest.raises(PolicyError, match=r"price (table|list)"):
        price_list({"interlock": {"prices": table}}, NOW)


def test_what_has_a_price_and_was_not_measured_costs_nobody_knows_how_much() -> None:
    found = price_list(prices(LIST), NOW)
    assert found is not None
    h100 = "NVIDIA H100 80GB HBM3"
    assert found.cost(models=(h100, "other"), hours=2, cpu_hours=10, energy_kwh=1) == pytest.approx(8 + 0.5 + 0.3)
    assert found.cost(models=(h100,), hours=2, cpu_hours=10, energy_kwh=None) is None
    narrow = PriceList(version="1", currency="EUR", valid_from=NOW, gpu_hour=((h100, 3.0),))
    assert narrow.cost(models=(h100,), hours=1, cpu_hours=9, energy_kwh=None) == 3
    assert narrow.cost(models=("other",), hours=1, cpu_hours=9, energy_kwh=None) is None


def rapl(root: Path, *counters: int) -> None:
    for number, counter in enumerate(counters):
        zone = root / f"intel-rapl:{number}"
        zone.mkdir(exist_ok=True, parents=True)
        (zone / "name").write_text(f"package-{number}\n")
        (zone / "max_energy_range_uj").write_text("1000000000\n")
        (zone / "energy_uj").write_text(f"{counter}\n")


def test_processor_energy_is_the_sum_of_packages_over_the_counters_turn(tmp_path: Path) -> None:
    rapl(tmp_path, 100_000_000, 999_000_000)
    for other, name in (("intel-rapl:9", "psys"), ("intel-rapl:0:0", "core")):
        (tmp_path / other).mkdir()
        (tmp_path / other / "name").write_text(name)
    meter = RaplEnergy.of(tmp_path)
    assert meter is not None
    assert meter.kwh() == 0
    rapl(tmp_path, 136_000_000, 35_000_000)  # 36 J, and 36 J over the turn
    assert meter.kwh() == pytest.approx(72 / 3.6e6)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.kwh() is None
    rapl(tmp_path, 200_000_000, 35_000_000)
    assert meter.kwh() is None


def test_energy_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert RaplEnergy.of(tmp_path / "nothing") is None
    assert RaplEnergy.of(tmp_path) is None
    rapl(tmp_path, 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("?")
    assert RaplEnergy.of(tmp_path) is None


class Nvml:
    """Answers as NVML of two devices, one of them in slices."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.millijoules = {"GPU-0": 5_000, "GPU-1": 7_000}
        self.open = 0
        self.nvmlInit = lambda: setattr(self, "open", self.open + 1)
        self.nvmlShutdown = lambda: setattr(self, "open", self.open - 1)
        self.nvmlSystemGetDriverVersion = lambda: b"580.1"
        self.nvmlDeviceGetUUID = lambda handle: handle
        self.nvmlDeviceGetDeviceHandleFromMigDeviceHandle = lambda _: "GPU-1"
        self.nvmlDeviceGetTotalEnergyConsumption = self._energy
        self.nvmlDeviceGetHandleByUUID = self._handle

    def _handle(self, uuid: str) -> str:
        if uuid not in self.millijoules and not uuid.startswith("MIG-"):
            raise self.NVMLError
        return uuid

    def _energy(self, handle: str) -> int:
        if handle not in self.millijoules:
            raise self.NVMLError
        return self.millijoules[handle]


def test_gpu_energy_is_the_difference_of_each_device_once() -> None:
    nvml = Nvml()
    meter = NvmlEnergy.of(["GPU-0", "MIG-a", "MIG-b"], nvml)
    assert meter is not None
    nvml.millijoules = {"GPU-0": 6_000, "GPU-1": 9_000}
    assert meter.kwh() == pytest.approx(3 / 3.6e6)
    assert meter.tools[0].version == "580.1"
    nvml.millijoules["GPU-1"] = 0  # the driver was loaded again
    assert meter.kwh() is None
    nvml.millijoules["GPU-1"] = 90_000
    assert meter.kwh() is None
    meter.close()
    assert nvml.open == 0


def test_gpu_energy_of_which_a_part_is_missing_is_unknown() -> None:
    nvml = Nvml()
    assert NvmlEnergy.of(["GPU-0", "GPU-7"], nvml) is None
    assert nvml.open == 0
    meter = NvmlEnergy.of(["GPU-0"], nvml)
    assert meter is not None
    del nvml.millijoules["GPU-0"]
    assert meter.kwh() is None
    nvml.nvmlInit = lambda: (_ for _ in ()).throw(nvml.NVMLError)
    assert NvmlEnergy.of(["GPU-0"], nvml) is None


def test_a_gpu_run_is_never_given_the_processors_energy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rapl(tmp_path, 1)
    monkeypatch.setattr("interlock.training.budgets.meters.POWERCAP", tmp_path)
    monkeypatch.setattr("interlock.training.budgets.meters._pynvml", lambda: None)
    found = energy_meter(())
    assert found is not None
    assert found.source == "rapl"
    assert energy_meter(("GPU-0",)) is None


def test_processor_time_and_restarts_are_read_from_the_living_processes() -> None:
    burn = "end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    code = f"import time\n{burn}\nprint(flush=True)\ninput()"
    environment = os.environ | {"TORCHELASTIC_RESTART_COUNT": "3"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processor_seconds(os.getpid()) >= 0.15
        assert restarts(os.getpid()) == 3
        child.communicate(b"\n")
    assert restarts(os.getpid()) == 0


def test_without_history_nothing_is_estimated() -> None:
    lines = list(beforehand_lines(Estimate(runs=0), UNKNOWN, None, {}, ""))
    assert lines == ["budget: no history of this step, so no estimate"]


def test_what_is_left_is_said_as_unknown_where_it_is() -> None:
    team = Standing(
        team="fraud",
        month="2026-11",
        used=Amounts(gpu_hours=90, money=2),
        reserved=Amounts(gpu_hours=5, energy_kwh=0, money=1),
    )
    limits: dict[str, Any] = {"pipelines": "any", "gpu_hours": 100, "energy_kwh": 7, "money": "any"}
    assert left_of(team, limits) == {"gpu_hours": 5, "energy_kwh": None}
    history = Estimate(runs=3, seconds=(60.0, 90.0), median=Amounts(gpu_hours=1), worst=Amounts(gpu_hours=2))
    lines = list(beforehand_lines(history, Amounts(gpu_hours=3), team, limits, "EUR"))
    assert lines == [
        "budget: the last 3 runs of this step took 60.0 s, 1 GPU-hours (median), 90.0 s, 2 GPU-hours (worst)",
        "budget: this run may take 3 GPU-hours",
        "budget: team fraud in 2026-11: 5 GPU-hours left of 100 GPU-hours, unknown kWh left of 7 kWh",
    ]
