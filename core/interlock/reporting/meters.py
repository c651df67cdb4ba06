"""How much of its limits and budgets a training used up, as bars: from the report's own configuration and measures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interlock.gate import Report
from interlock.reporting.attachments import number

_MIB = 2.0**20
_LIMITS = (("wall clock", "wall_seconds", "seconds", "s", 1.0), ("output", "output_bytes", "output_bytes", "MiB", _MIB))
_BUDGETS = (("GPU-hours", "gpu_hours", "h"), ("energy", "energy_kwh", "kWh"), ("money", "money", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One bar.

    Args:
        share: Of the bound that is used up, at most 1 is drawn.
    """

    name: str
    used: float
    bound: float
    unit: str

    @property
    def share(self) -> float:
        """From 0; more than 1 when the bound was passed."""
        return self.used / self.bound


def meters_of(report: Report) -> tuple[Meter, ...]:
    """The bars of a training; none of any other gate."""
    return tuple(_meters(report)) if report.gate == "training" else ()


def _meters(report: Report) -> Iterator[Meter]:
    configuration = _object(json.loads(report.configuration))
    measured = {measure.name: measure.value for measure in report.observation.measures}
    limits = _object(configuration.get("limits"))
    asked = _object(_object(_object(configuration.get("safeguards")).get("budget")).get("asked"))
    bounds = [(name, limits.get(limit), measure, unit, one) for name, limit, measure, unit, one in _LIMITS]
    bounds += [(name, asked.get(measure), measure, unit, 1.0) for name, measure, unit in _BUDGETS]
    for name, value, measure, unit, one in bounds:
        bound = number(value)
        if bound is not None and bound > 0 and measure in measured:
            yield Meter(name=name, used=measured[measure] / one, bound=bound / one, unit=unit)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
