"""Payloads in the low bits of weights: what shows, where, and what cannot."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.artifacts.weighing import (
    SAVERS,
    TEXT,
    Weights,
    measures,
    said,
    seen,
    trained,
    warnings,
    with_low_bytes,
    with_lowest_bits,
)

from interlock.artifacts.weights.dtypes import DTYPES
from interlock.artifacts.weights.low_bits import ONE_IN, WHOLE, LowBits, Sample, normal_score

LAYER = "3.weight"
PROGRAM = Path(torch._C.__file__).with_name("lib").joinpath("libshm.so").read_bytes()[: 128 << 10]
NOISE = np.random.default_rng(0).bytes(128 << 10)
"""As good as encrypted."""


def carrying(payload: bytes, *, count: int = 1, rounded: torch.dtype | None = None) -> Weights:
    weights = trained()
    cover = weights[LAYER] if rounded is None else weights[LAYER].to(rounded).float()
    return weights | {LAYER: with_low_bytes(cover, payload, count=count)}


@pytest.mark.parametrize(
    ("weights", "how"),
    [
        pytest.param(carrying(TEXT), "bytes", id="text-in-the-lowest-byte"),
        pytest.param(carrying(TEXT[:11_000]), "bytes", id="text-in-a-twelfth-of-the-lowest-bytes"),
        pytest.param(carrying(TEXT, count=3), "bytes", id="text-in-three-bytes-as-EvilModel"),
        pytest.param(carrying(PROGRAM), "bytes", id="a-program-in-the-lowest-byte"),
        pytest.param(carrying(NOISE[:4096], rounded=torch.float16), "rounded", id="noise-in-weights-that-were-halves"),
        pytest.param(carrying(NOISE[:8192], count=2, rounded=torch.bfloat16), "rounded", id="noise-in-former-bfloat16"),
        pytest.param({"w": with_lowest_bits(trained()[LAYER], TEXT)}, "phases", id="text-in-the-lowest-bits"),
    ],
)
def test_a_payload_that_looks_unlike_weights_is_noted(weights: Weights, how: str, tmp_path: Path) -> None:
    observed = seen(tmp_path, SAVERS["safetensors"](weights))
    findings = said(observed, "low-bits")
    assert how in {json.loads(finding.evidence)["how"] for finding in findings}
    assert {json.loads(finding.evidence)["tensor"] for finding in findings} <= {LAYER, "w"}
    assert warnings(observed) == [], "informational"
    assert measures(observed)["written_tensors"] == 1


@pytest.mark.parametrize("payload", [NOISE, zlib.compress(PROGRAM)], ids=["encrypted", "compressed"])
def test_what_looks_like_noise_cannot_be_told_from_trained_weights(payload: bytes, tmp_path: Path) -> None:
    """No merit, but it should be known: the documentation says so."""
    observed = seen(tmp_path, SAVERS["safetensors"](carrying(payload)))
    assert said(observed, "low-bits") == []


def test_a_payload_in_a_rounded_tensor_is_placed(tmp_path: Path) -> None:
    weights = trained()
    cover = weights[LAYER].half().float().reshape(-1)
    cover[20_480 : 20_480 + 2048] = with_low_bytes(cover[20_480 : 20_480 + 2048], NOISE[:2048])
    observed = seen(tmp_path, SAVERS["safetensors"]({LAYER: cover}))
    [finding] = said(observed, "low-bits")
    assert json.loads(finding.evidence)["elements"] == 2048
    header = len(SAVERS["safetensors"]({LAYER: cover})) - 4 * cover.numel()
    assert finding.location.offset == header + 4 * 20_480


def test_only_a_part_of_a_very_large_model_has_its_low_bits_looked_at() -> None:
    sample = Sample()
    piece = 1 << 18
    assert all(sample.takes(piece) for _ in range(WHOLE // piece))
    taken = sum(sample.takes(piece) for _ in range(80 * ONE_IN))
    assert (taken, sample.left_out) == (80, 80 * (ONE_IN - 1) * piece)


def test_elements_that_are_left_out_still_count_for_the_place() -> None:
    sample = Sample()
    sample.seen = WHOLE
    low_bits = LowBits(DTYPES["F32"], sample)
    halves = np.random.default_rng(0).normal(size=4096).astype(np.float16).astype(np.float32)
    written = halves.copy()
    written.view(np.uint32)[:512] |= np.frombuffer(NOISE[:2048], np.uint32) & 0xFFF
    for part in [halves] * (ONE_IN - 1) + [written]:
        low_bits.look(part)
    [found] = low_bits.written()
    assert (found.how, found.element, found.elements) == ("rounded", 4096 * (ONE_IN - 1), 512)


def test_the_score_is_that_of_a_normal_distribution() -> None:
    from scipy.stats import chi2, norm  # type: ignore[import-untyped]  # no stubs

    for value in (90.0, 127.0, 200.0, 300.0):
        assert normal_score(value, 127) == pytest.approx(norm.isf(chi2.sf(value, 127)), abs=0.1)
