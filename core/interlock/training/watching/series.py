"""One number of each step of a training: its curve, its spikes, and where it was no number at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from interlock.gate import Finding, Level
from interlock.training.watching.curves import MAX_MARKS, Curve
from interlock.training.watching.spikes import Spikes


class Series:
    """Takes a number step by step.

    Args:
        what: It is, for people.
        patience: Steps in a row without a number after which a training is lost.
    """

    def __init__(self, what: str, *, patience: int) -> None:
        self.what = what
        self.curve = Curve()
        self.spikes = Spikes()
        self.marks: list[tuple[int, float]] = []
        self.count = self.not_finite = self.spiked = 0
        self._patience = patience
        self._in_a_row = self._longest = 0
        self._first: int | None = None

    @property
    def rule(self) -> str:
        """The rule of its spikes."""
        return f"{self.what.replace(' ', '-')}-spike"

    @property
    def lost(self) -> bool:
        """Whether it has been no number for too long, up to now."""
        return self._in_a_row >= self._patience

    def leapt(self, step: int) -> bool:
        """Whether the value of this step, the last one heard, was a spike."""
        return bool(self.marks) and self.marks[-1][0] == step

    def heard(self, step: int, value: float) -> None:
        """Take the value of a step."""
        self.count += 1
        if not math.isfinite(value):
            self.not_finite += 1
            self._in_a_row += 1
            self._longest = max(self._longest, self._in_a_row)
            self._first = step if self._first is None else self._first
            return
        self._in_a_row = 0
        self.curve.add(step, value)
        if self.spikes.heard(value):
            self.spiked += 1
            del self.marks[MAX_MARKS - 1 :]  # the first ones stay, and the newest has the last place
            self.marks.append((step, value))

    def finding_of_lost(self) -> Finding | None:
        """Where it was no number; a note when it never was so for long."""
        if not self.not_finite:
            return None
        words = f"the {self.what} was not a finite number in {self.not_finite} of {self.count} steps"
        level = Level.WARNING if self._longest >= self._patience else Level.NOTE
        return finding("not-finite", level, words, {"first_step": self._first, "steps": self.not_finite})

    def finding_of_spikes(self) -> Finding | None:
        """Where it leapt."""
        if not self.spiked:
            return None
        step, value = self.marks[0]
        times = "once" if self.spiked == 1 else f"{self.spiked} times"
        words = f"the {self.what} leapt {times}, first to {value:.4g} at step {step}"
        spikes = [{"step": step, "value": value} for step, value in self.marks]
        return finding(self.rule, Level.WARNING, words, {"spikes": spikes})


def finding(rule: str, level: Level, message: str, evidence: Mapping[str, object] | None = None) -> Finding:
    """A finding of the training's watch.

    Args:
        rule: Without the gate's name.
        level: Of it.
        message: For people.
        evidence: JSON values.
    """
    text = json.dumps(evidence, sort_keys=True) if evidence else ""
    return Finding(rule_id=f"training.{rule}", level=level, message=message, evidence=text)
