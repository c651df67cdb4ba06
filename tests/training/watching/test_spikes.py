"""Spikes are seen where they are, and not in trainings that go as trainings go: warm, restarted, noisy, learned out."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from benchmarks.poisoning.images import FASHION_MNIST, Dataset, digits, fashion_mnist
from torch import nn

from interlock.training.watching.spikes import LEAST, Spikes

Trace = list[tuple[float, float, float]]
"""Loss, gradient norm and learning rate of each step."""


def trained(data: Dataset, *, seed: int, batch: int, schedule: str, sgd: bool, steps: int) -> Trace:
    """A small network on real pictures; `schedule` warms up, and restarts four times or decays."""
    torch.manual_seed(seed)
    inputs = torch.from_numpy(data.images / data.white)
    labels = torch.from_numpy(data.labels)
    model = nn.Sequential(nn.Linear(inputs.shape[1], 64), nn.ReLU(), nn.Linear(64, 10))
    rate = 0.05 if sgd else 3e-3
    optimizer = (
        torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        if sgd
        else torch.optim.AdamW(model.parameters(), lr=rate)
    )
    warm, period = steps // 10, steps // 4

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        place = (step - warm) % period / period if schedule == "restarts" else (step - warm) / (steps - warm)
        return 0.5 * (1 + math.cos(math.pi * place))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    trace: Trace = []
    while len(trace) < steps:
        for rows in torch.randperm(len(inputs)).split(batch)[:-1]:  # type: ignore[no-untyped-call]  # the same
            loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf)
            trace.append((loss.item(), norm.item(), optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return trace[:steps]


def spikes_of(trace: Trace, column: int) -> list[int]:
    spikes = Spikes()
    found = []
    for step, numbers in enumerate(trace):
        spikes.rate(numbers[2])
        if spikes.heard(numbers[column]):
            found.append(step)
    return found


def with_spike(trace: Trace, column: int, at: int, value: float) -> Trace:
    changed = list(trace[at])
    changed[column] = value
    return [*trace[:at], (changed[0], changed[1], changed[2]), *trace[at + 1 :]]


def judged(traces: list[Trace]) -> tuple[int, int, int]:
    """False alarms in all, and how many of how many spikes were seen: ten times where the series began."""
    alarms = seen = tried = 0
    for trace, column in product(traces, (0, 1)):
        alarms += len(spikes_of(trace, column))
        began = float(np.median([numbers[column] for numbers in trace[:LEAST]]))
        for at in (len(trace) * 3 // 10, len(trace) * 4 // 5):
            tried += 1
            seen += at in spikes_of(with_spike(trace, column, at, 10 * began), column)
    return alarms, seen, tried


def test_clean_trainings_on_digits_give_no_alarm_and_spikes_in_them_are_seen() -> None:
    data = digits()
    kinds = ((16, "restarts", True), (128, "decay", False), (128, "restarts", True), (64, "decay", True))
    traces = [
        trained(data, seed=seed, batch=batch, schedule=schedule, sgd=sgd, steps=240)
        for seed, (batch, schedule, sgd) in enumerate(kinds)
    ]
    alarms, seen, tried = judged(traces)
    assert alarms == 0
    assert seen >= 0.75 * tried


@pytest.mark.slow
@pytest.mark.skipif(not FASHION_MNIST.exists(), reason="apt-get install dataset-fashion-mnist")
def test_clean_trainings_on_fashion_mnist_give_no_alarm_and_spikes_in_them_are_seen() -> None:
    data = fashion_mnist()
    traces = [
        trained(data, seed=seed, batch=batch, schedule=schedule, sgd=sgd, steps=600)
        for seed in range(3)
        for batch, schedule, sgd in product((16, 128), ("decay", "restarts"), (True, False))
    ]
    alarms, seen, tried = judged(traces)
    assert alarms == 0
    assert seen >= 0.75 * tried


def test_a_learning_rate_that_rises_begins_anew() -> None:
    calm = [(1.0 + 0.01 * (step % 3), 0.0, 0.01) for step in range(60)]
    higher = [(5.0, 0.0, 0.1)] * 3
    assert spikes_of([*calm, *higher], 0) == []
    assert spikes_of([*calm, *((loss, norm, 0.01) for loss, norm, _ in higher)], 0) == [60, 61, 62]


def test_a_batch_that_is_hard_once_everything_is_learned_is_no_spike() -> None:
    trace = [(2.3 * 0.9**step + 0.001, 0.0, 0.1) for step in range(150)]
    assert spikes_of(with_spike(trace, 0, 120, 0.1), 0) == []
    assert spikes_of(with_spike(trace, 0, 120, 3.0), 0) == [120]
