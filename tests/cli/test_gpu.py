"""`interlock gpu` as a person types it, and a training that asks for GPUs on a machine that plays some back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Interlock
from tests.training.gpu import attester
from tests.training.gpu.attester import Attester
from tests.training.gpu.nvml_library import NvmlDouble
from tests.training.gpu.states import HEALTHY, RECORDS, SLICE, STATES, UUID

from interlock.training.gpu import NvmlProbe, read_record


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml  # type: ignore[import-untyped] # it has no stubs

    double = NvmlDouble(HEALTHY, errors={"nvmlInit": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})
    monkeypatch.setattr("interlock.training.gpu.nvml._pynvml", double.module)


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.training.gpu.nvml._pynvml", NvmlDouble(HEALTHY).module)


def test_a_machine_without_a_driver_is_told_what_to_do(interlock: Interlock, no_driver: None) -> None:
    said = interlock("gpu", "show")
    assert said.status == 3
    assert "no NVIDIA driver" in said.err
    assert "Next: install the NVIDIA driver" in said.err
    assert interlock("gpu", "record").status == 3


def test_the_state_is_shown_as_a_table(interlock: Interlock, healthy: None) -> None:
    said = interlock("gpu", "show")
    assert said.status == 0
    machine, row = said.out.splitlines()
    assert machine.startswith("driver 580.95.05, CUDA 13.0,")
    assert row.split("\t")[:5] == ["0", UUID, "NVIDIA H100 80GB HBM3", "79.2 GiB", "EXCLUSIVE_PROCESS"]


@pytest.mark.parametrize("name", STATES)
def test_a_record_is_shown_as_one(name: str, interlock: Interlock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_GPU_RECORD", str(RECORDS / f"{name}.json"))
    said = interlock("gpu", "show")
    assert said.out.startswith("played back from a record: nothing of this machine was measured\n")
    assert (SLICE if name == "mig" else UUID) in said.out
    document = json.loads(interlock("gpu", "show", "--format", "json").out)
    assert document["recorded"] is True
    assert document["tools"][0]["name"] == "interlock-gpu-record"
    assert document["state"]["driver"] == STATES[name].driver


def test_a_record_is_made_of_the_real_devices_only(
    interlock: Interlock, healthy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_GPU_RECORD", str(RECORDS / "mig.json"))
    assert interlock("gpu", "record", "--out", str(tmp_path / "r.json")).status == 0
    state, _ = read_record((tmp_path / "r.json").read_bytes())
    assert state.devices == HEALTHY.devices
    assert state.devices == NvmlProbe().state().devices
    assert read_record(interlock("gpu", "record").out)[0].driver == HEALTHY.driver


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attester:
    monkeypatch.setattr(attester, "NOW", time.time())
    made = Attester()
    made.write_keys(tmp_path / "jwks.json")
    return made


def attest(interlock: Interlock, folder: Path, content: object, *more: str) -> tuple[int, str, str]:
    (folder / "token.json").write_text(content if isinstance(content, str) else json.dumps(content))
    words = ("--jwks", str(folder / "jwks.json"), "--nonce", attester.NONCE)
    said = interlock("gpu", "attest", str(folder / "token.json"), *words, *more)
    return said.status, said.out, said.err


def test_a_token_that_holds_is_0(interlock: Interlock, signer: Attester, tmp_path: Path) -> None:
    status, out, _ = attest(interlock, tmp_path, signer.bundle())
    assert (status, out.splitlines()[0]) == (0, f"ALLOW  attestation of 1 GPUs by {attester.ISSUER}")
    status, out, _ = attest(interlock, tmp_path, signer.bundle(), "--format", "json")
    assert (status, json.loads(out)["verified"]) == (0, True)


def test_a_token_that_does_not_hold_is_1(interlock: Interlock, signer: Attester, tmp_path: Path) -> None:
    failed = signer.bundle({**attester.gpu_claims(), "measres": "fail"})
    status, out, _ = attest(interlock, tmp_path, failed)
    assert status == 1
    assert "GPU-0: measres is 'fail', not 'success'" in out
    assert attest(interlock, tmp_path, Attester().bundle())[0] == 1


def test_what_is_no_token_is_3_and_a_wrong_nonce_is_2(interlock: Interlock, signer: Attester, tmp_path: Path) -> None:
    status, _, err = attest(interlock, tmp_path, "{}")
    assert (status, "no detached EAT" in err) == (3, True)
    (tmp_path / "jwks.json").write_text("{}")
    assert attest(interlock, tmp_path, signer.bundle())[0] == 2
    said = interlock("gpu", "attest", str(tmp_path / "token.json"), "--jwks", "none.json", "--nonce", "00")
    assert said.status == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gpus", "1", "--gpu", "0"), "either by --gpus or by --gpu"),
        (("--scrub",), "how GPUs have to be, and not how many"),
        (("--gpu", "../0"), "names no GPU"),
    ],
)
def test_gpus_of_a_training_are_asked_for_in_one_way(words: tuple[str, ...], said: str, interlock: Interlock) -> None:
    found = interlock("train", "--data", "x", "--out", "y", *words, "--", "true")
    assert found.status == 2
    assert said in found.err
