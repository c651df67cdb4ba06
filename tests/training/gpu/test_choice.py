"""A training gets the devices that it asks for, and two never get the same one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.gpu.states import HEALTHY, SLICE, STATES, UUID

from interlock.gate import UnavailableError, UsageError
from interlock.training.gpu.choice import GpuLocks, GpuRequest, choose, gpu_request, places_of

SECOND = "GPU-00000000-0000-4000-8000-000000000002"
TWO = replace(HEALTHY, devices=(HEALTHY.devices[0], replace(HEALTHY.devices[0], index=1, uuid=SECOND, minor=1)))


def chosen(request: GpuRequest, folder: Path, state: object = TWO) -> list[str]:
    return [place.uuid for place in choose(request, state, GpuLocks(folder))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "uuids"),
    [
        (GpuRequest(count=1), [UUID]),
        (GpuRequest(count=2), [UUID, SECOND]),
        (GpuRequest(names=("1",)), [SECOND]),
        (GpuRequest(names=(SECOND, "0")), [SECOND, UUID]),
    ],
)
def test_devices_are_chosen_by_number_index_or_uuid(request_: GpuRequest, uuids: list[str], tmp_path: Path) -> None:
    assert chosen(request_, tmp_path) == uuids


@pytest.mark.parametrize("name", [SLICE, "0:0"])
def test_a_slice_is_chosen_by_uuid_or_position(name: str, tmp_path: Path) -> None:
    assert chosen(GpuRequest(names=(name,)), tmp_path, STATES["mig"]) == [SLICE]
    assert [place.uuid for place in places_of(STATES["mig"])] == [SLICE]


def test_a_device_without_company_is_preferred_and_one_that_is_not_known_comes_last(tmp_path: Path) -> None:
    busy = replace(STATES["foreign-process"].devices[0], uuid="GPU-busy", index=2)
    unknown = replace(HEALTHY.devices[0], uuid="GPU-unknown", index=3, processes=None)
    state = replace(HEALTHY, devices=(unknown, busy, HEALTHY.devices[0]))
    assert chosen(GpuRequest(count=3), tmp_path, state) == [UUID, "GPU-busy", "GPU-unknown"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("7", "no such GPU"), ("GPU-other", "no such GPU"), ("0:3", "no such GPU")],
)
def test_a_name_of_nothing_is_refused_with_what_there_is(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{message}.*{UUID}"):
        chosen(GpuRequest(names=(name,)), tmp_path)


def test_a_gpu_that_is_cut_is_not_given_whole(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"cut into slices.*{SLICE}"):
        chosen(GpuRequest(names=("0",)), tmp_path, STATES["mig"])
    bare = replace(STATES["mig"], devices=(replace(STATES["mig"].devices[0], slices=()),))
    with pytest.raises(UsageError, match="it has none"):
        chosen(GpuRequest(names=(UUID,)), tmp_path, bare)


def test_a_lost_gpu_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="GPU is lost"):
        chosen(GpuRequest(names=("5",)), tmp_path, replace(HEALTHY, lost=((5, "GPU is lost"),)))


@pytest.mark.parametrize("wrong", [{"count": 1, "names": ("0",)}, {"count": -1}, {"names": ("../x",)}])
def test_a_request_is_for_a_number_or_for_names(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        GpuRequest(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gpus", "wanted"), [(None, None), (0, 0), (2, 2), (["0", UUID], 2), (("MIG-1",), 1)], ids=str)
def test_what_a_step_says_becomes_a_request(gpus: object, wanted: int | None) -> None:
    request = gpu_request(gpus)  # type: ignore[arg-type]
    assert (request.wanted if request else None) == wanted


@pytest.mark.parametrize(
    "said",
    [{"gpus": "0"}, {"gpus": True}, {"gpus": None, "scrub": True}, {"gpus": None, "confidential": True}],
    ids=["a-text", "a-truth", "scrub-of-nothing", "nothing-confidential"],
)
def test_a_step_that_says_it_wrongly_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        gpu_request(**said)  # type: ignore[arg-type]


def test_two_runs_do_not_get_one_device(tmp_path: Path) -> None:
    first, second = GpuLocks(tmp_path), GpuLocks(tmp_path)
    assert choose(GpuRequest(names=("0",)), TWO, first)
    with pytest.raises(UnavailableError, match=rf"0 of 1 are free.*{UUID}"):
        choose(GpuRequest(names=("0",)), TWO, second)
    assert [place.uuid for place in choose(GpuRequest(count=1), TWO, second)] == [SECOND]
    first.release()
    assert [place.uuid for place in choose(GpuRequest(names=("0",)), TWO, first)] == [UUID]


def test_too_few_free_devices_leave_none_locked(tmp_path: Path) -> None:
    holder = GpuLocks(tmp_path)
    choose(GpuRequest(names=("1",)), TWO, holder)
    with pytest.raises(UnavailableError, match="2 GPUs are asked for, 1 of 2 are free"):
        chosen(GpuRequest(count=2), tmp_path)
    assert chosen(GpuRequest(count=1), tmp_path) == [UUID]


def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    source = (
        "import os, sys; from pathlib import Path; from interlock.training.gpu.choice import GpuLocks\n"
        f"assert GpuLocks(Path(sys.argv[1])).take({UUID!r}); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=False).returncode == -9
    assert GpuLocks(tmp_path).take(UUID)


def test_a_lock_is_not_followed_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x")
    (tmp_path / f"interlock-{UUID}.lock").symlink_to(victim)
    with pytest.raises(UnavailableError, match="lock of a GPU"):
        GpuLocks(tmp_path).take(UUID)


def test_another_user_can_lock_but_not_write(tmp_path: Path) -> None:
    GpuLocks(tmp_path).take("MIG-GPU-1/2/0")
    [lock] = tmp_path.iterdir()
    assert lock.name == "interlock-MIG-GPU-1_2_0.lock"
    assert lock.stat().st_mode & 0o022 == 0
