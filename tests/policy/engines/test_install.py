"""The OPA library: pinned, taken whole or not at all, and found again."""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.gate import MissingExtraError, PolicyError, Settings, SettingsError, UnavailableError
from interlock.policy import EngineMissingError, Library, install_engine, locate
from interlock.policy.engines import install
from interlock.policy.engines.install import LIBRARY, PACKAGE_VERSION, PINNED, REQUIREMENTS, VARIABLE

WHEEL = f"opa_golib_python_bindings-{PACKAGE_VERSION}-py3-none-any.whl"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(install, "BESIDE_PYTHON", tmp_path / "environment")
    return replace(Settings.load({}, system_file=tmp_path / "none"), home=tmp_path / "home")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip asks instead of any index."""
    links = tmp_path / "links"
    links.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


def put(home: Path, content: bytes) -> Path:
    path = home / "engine" / PACKAGE_VERSION / LIBRARY
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_missing_engine_says_which_command_brings_it(settings: Settings) -> None:
    with pytest.raises(EngineMissingError, match="interlock policy install-engine") as missing:
        locate(settings)
    assert isinstance(missing.value, MissingExtraError)
    assert missing.value.exit_status == 2
    assert str(pickle.loads(pickle.dumps(missing.value))) == str(missing.value)


def test_what_is_installed_must_be_what_is_pinned(settings: Settings) -> None:
    path = put(settings.home, b"anything")
    assert locate(settings) == Library(path=path, accepted=PINNED, source="interlock policy install-engine")


def test_an_engine_beside_python_serves_every_home(settings: Settings, tmp_path: Path) -> None:
    path = put(tmp_path / "environment", b"anything")
    assert locate(settings) == Library(path=path, accepted=PINNED, source="interlock policy install-engine")


def test_the_environment_of_the_deployment_may_name_another_library(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings.home, b"anything")
    named = tmp_path / "other.so"
    named.touch()
    monkeypatch.setenv(VARIABLE, str(named))
    assert locate(settings) == Library(path=named, accepted=(), source=VARIABLE)
    named.unlink()
    with pytest.raises(SettingsError, match=f"{VARIABLE} names no file"):
        locate(settings)


def test_an_importable_package_is_used_by_pinned_hash(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "opa_bindings"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('only its library is wanted')")
    (package / LIBRARY).touch()
    monkeypatch.syspath_prepend(str(package.parent))
    assert locate(settings).path == package / LIBRARY
    assert locate(settings).accepted == PINNED


def test_a_wheel_with_another_hash_is_refused_and_nothing_stays(settings: Settings, offline: Path) -> None:
    with zipfile.ZipFile(offline / WHEEL, "w") as wheel:
        wheel.writestr(f"opa_bindings/{LIBRARY}", b"evil")
    with pytest.raises(PolicyError, match="not the pinned policy engine"):
        install_engine(settings.home)
    assert list((settings.home / "engine").iterdir()) == []


def test_no_wheel_for_this_machine_is_said_with_a_way_out(settings: Settings, offline: Path) -> None:
    with pytest.raises(SettingsError, match="no wheel of opa-golib-python-bindings"):
        install_engine(settings.home)
    assert list((settings.home / "engine").iterdir()) == []


def test_a_home_that_cannot_be_written_is_a_mistake_in_the_settings(settings: Settings) -> None:
    settings.home.write_text("a file where a folder should be")
    with pytest.raises(SettingsError, match="cannot be written"):
        install_engine(settings.home)


def test_the_pinned_engine_is_installed_whole_and_replaces_a_wrong_one(
    settings: Settings, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = put(settings.home, b"half a library")
    try:
        path = install_engine(settings.home)
    except UnavailableError as error:
        pytest.skip(f"pip reaches no index here: {error}")
    assert path == wrong
    assert path.read_bytes() == library.path.read_bytes()
    assert sorted(file.name for file in path.parent.iterdir()) == ["LICENSE", LIBRARY]
    assert [folder.name for folder in (settings.home / "engine").iterdir()] == [PACKAGE_VERSION]
    monkeypatch.setattr("interlock.policy.engines.install._run_pip", lambda _: pytest.fail("pip was asked again"))
    assert install_engine(settings.home) == path


def test_every_pin_is_a_sha256_and_the_requirements_name_one_version() -> None:
    lines = REQUIREMENTS.read_text().split("--hash=sha256:")
    assert f"=={PACKAGE_VERSION} " in lines[0]
    assert len(lines) - 1 == len(PINNED) == len(set(PINNED))
    assert all(len(pin.split()[0]) == 64 for pin in (*lines[1:], *PINNED))
