"""A job sees the nodes of its own devices and the driver's libraries, and nothing else of the driver."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.gpu.machine import Machine
from tests.training.gpu.states import HEALTHY, SLICE, STATES, UUID

from interlock.gate import UnavailableError
from interlock.training.gpu.choice import Assigned, places_of
from interlock.training.gpu.driver import DriverPlaces, provision_of

WHOLE = Assigned(device=HEALTHY.devices[0])


def test_only_the_nodes_of_the_assigned_device_are_shown(machine: Machine) -> None:
    found = provision_of([WHOLE], machine.places)
    assert {path.name for path in found.devices} == {"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia0"}
    assert dict(found.environment)["CUDA_VISIBLE_DEVICES"] == UUID


def test_a_slice_brings_the_capabilities_of_its_own_instances(machine: Machine) -> None:
    found = provision_of(places_of(STATES["mig"]), machine.places)
    assert {path.name for path in found.devices} >= {"nvidia0", "nvidia-cap84", "nvidia-cap85"}
    assert "nvidia-cap12" not in {path.name for path in found.devices}
    assert dict(found.environment)["CUDA_VISIBLE_DEVICES"] == SLICE


def test_libraries_outside_usr_are_shown_with_what_they_link_to(machine: Machine) -> None:
    found = provision_of([WHOLE], machine.places)
    names = {path.name for path in found.visible}
    assert names == {"libcuda.so.1", "libcuda.so.580.95.05", "libnvidia-ml.so.1"}
    assert "LD_LIBRARY_PATH" not in dict(found.environment)


def test_libraries_that_the_linker_does_not_know_are_named_to_it(machine: Machine) -> None:
    found = provision_of([WHOLE], replace(machine.places, cache=Path("/nowhere")))
    assert dict(found.environment)["LD_LIBRARY_PATH"] == str(machine.libraries)


def test_the_linker_s_own_cache_is_understood(tmp_path: Path, machine: Machine) -> None:
    """The real file of this machine, with one path in it replaced."""
    cache = Path("/etc/ld.so.cache")
    if not cache.is_file():
        pytest.skip("no dynamic linker's cache here")
    raw = cache.read_bytes()
    old = b"/lib/x86_64-linux-gnu/libc.so.6"
    if old not in raw:
        pytest.skip("the cache names no libc where it is expected")
    made = tmp_path / "n"
    new = f"{made}/libcuda.so.".encode()
    path = new + b"1" * max(1, len(old) - len(new))
    made.mkdir()
    Path(path.decode()).write_text("")
    copy = tmp_path / "ld.so.cache"
    copy.write_bytes(raw.replace(old, path))
    found = provision_of([WHOLE], replace(machine.places, cache=copy, folders=()))
    assert Path(path.decode()) in found.visible


@pytest.mark.parametrize("node", ["nvidiactl", "nvidia-uvm", "nvidia0"])
def test_a_missing_node_is_an_error_that_names_it(node: str, machine: Machine) -> None:
    (machine.places.dev / node).unlink()
    with pytest.raises(UnavailableError, match=rf"device node.*{node}.*nvidia-modprobe"):
        provision_of([WHOLE], machine.places)


def test_a_file_in_place_of_a_node_is_not_shown(machine: Machine) -> None:
    node = machine.places.dev / "nvidia0"
    node.unlink()
    node.write_text("not a device")
    with pytest.raises(UnavailableError, match="device node"):
        provision_of([WHOLE], machine.places)


def test_a_device_whose_node_is_not_known_is_not_given(machine: Machine) -> None:
    with pytest.raises(UnavailableError, match="which device node"):
        provision_of([Assigned(device=replace(HEALTHY.devices[0], minor=None))], machine.places)


def test_a_slice_whose_capability_is_not_known_is_not_given(machine: Machine) -> None:
    [place] = places_of(STATES["mig"])
    assert place.mig is not None
    with pytest.raises(UnavailableError, match="which instance"):
        provision_of([replace(place, mig=replace(place.mig, gpu_instance=None))], machine.places)
    access = machine.places.proc / "capabilities/gpu0/mig/gi9/access"
    access.write_text("DeviceFileMode: 256\n")
    with pytest.raises(UnavailableError, match="names no device node"):
        provision_of([place], machine.places)
    shutil.rmtree(access.parent)
    with pytest.raises(UnavailableError, match="cannot be read"):
        provision_of([place], machine.places)


def test_no_driver_library_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    places = DriverPlaces(dev=tmp_path, proc=tmp_path, cache=tmp_path / "none", folders=(tmp_path / "lib",))
    with pytest.raises(UnavailableError, match=r"libcuda\.so is not here"):
        provision_of([WHOLE], places)
