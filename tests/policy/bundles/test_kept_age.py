"""How long a kept copy decides that its server does not confirm, over restarts and clocks that are set."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.policy.bundles.bundle_server import BundleServer, answering
from tests.policy.bundles.bundle_tools import age, number, version

from interlock.cli import main
from interlock.gate import PolicyError, Settings, UnavailableError
from interlock.policy import Library, load_policy
from interlock.policy.bundles.kept import place_of, read_kept
from interlock.policy.bundles.source import find_policy

DAY = 86_400.0
DOWN = answering(503)


def kept_age(settings: Settings) -> float:
    kept = read_kept(place_of(settings.home, settings.policy), settings.policy)
    assert kept is not None
    return kept.age


def test_a_copy_decides_for_a_week_unless_the_settings_say_otherwise(settings: Settings) -> None:
    assert settings.policy_max_age == 7 * DAY


def test_a_copy_that_was_not_confirmed_for_longer_is_refused(named: Settings, server: BundleServer) -> None:
    number(named)
    server.misbehaviour = DOWN
    age(named, 6 * DAY)
    assert "the copy of 6 days ago, until it is 7 days old" in load_policy(named).notes[0]
    age(named, 1.1 * DAY)
    with pytest.raises(UnavailableError, match=r"503.*last confirmed 7 days ago.*policy_max_age.*7 days") as refused:
        load_policy(named)
    assert refused.value.where == server.url
    assert refused.value.next_step
    server.misbehaviour = None
    assert number(named) == 1
    server.misbehaviour = DOWN
    assert number(named) == 1


def test_dag_parsing_refuses_it_too(named: Settings, server: BundleServer) -> None:
    number(named)
    age(named, 6.9 * DAY)
    assert number(named, online=False) == 1
    age(named, 0.2 * DAY)
    with pytest.raises(PolicyError, match=r"last confirmed 7 days ago.*interlock policy fetch"):
        load_policy(named, online=False)


@pytest.mark.parametrize("answer", ["the same bundle by its ETag", "a newer one", "the same without an ETag"])
def test_every_good_answer_confirms(named: Settings, server: BundleServer, keys: Path, answer: str) -> None:
    number(named)
    age(named, 6 * DAY)
    if answer == "a newer one":
        server.content = version(keys, 2)
    elif answer == "the same without an ETag":
        server.misbehaviour = lambda handler: handler.say(200, handler.state.content, {})
    number(named)
    assert 0 <= kept_age(named) < DAY


@pytest.mark.parametrize("answer", [answering(401), answering(302, {"Location": "/"}), answering(200), DOWN])
def test_no_other_answer_confirms(named: Settings, server: BundleServer, answer: object) -> None:
    number(named)
    age(named, 2 * DAY)
    server.misbehaviour = answer  # type: ignore[assignment]  # pytest's parameters have no type
    with suppress(PolicyError):
        load_policy(named)
    assert kept_age(named) > DAY


def test_a_confirmation_survives_a_restart(named: Settings, server: BundleServer) -> None:
    number(named)
    age(named, 8 * DAY)
    number(named)  # confirmed by its ETag: only the small file is new
    server.misbehaviour = DOWN
    script = (
        "import sys; from interlock.gate import Settings; from interlock.policy import load_policy; "
        "print(load_policy(Settings.load()).data['number'])"
    )
    environ = {
        **os.environ,
        "INTERLOCK_HOME": str(named.home),
        "INTERLOCK_POLICY": named.policy,
        "INTERLOCK_POLICY_KEYS": named.policy_keys,
        "INTERLOCK_POLICY_POLL": "0.000001",
    }
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=False)
    assert said.stdout.strip() == "1", said.stderr


def test_copying_or_touching_the_files_makes_nothing_younger(named: Settings, server: BundleServer) -> None:
    number(named)
    number(named)
    age(named, 8 * DAY)
    place = place_of(named.home, named.policy)
    shutil.copy(place, place.with_name("elsewhere"))
    place.with_name("elsewhere").replace(place)
    os.utime(place)
    server.misbehaviour = DOWN
    with pytest.raises(UnavailableError, match="last confirmed"):
        load_policy(named)


def test_the_confirmation_of_one_copy_is_not_that_of_another(named: Settings, server: BundleServer) -> None:
    place = place_of(named.home, named.policy)
    number(named)
    age(named, 2 * DAY)
    old = place.read_bytes()
    place.unlink()
    number(named)
    number(named)
    assert place.with_suffix(".confirmed").exists()
    place.write_bytes(old)
    assert kept_age(named) > DAY


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b"{}", b'{"head": "x"}', b'{"head": 1, "confirmed": 1e999}', b"\xff", b"[" * 9000]
)
def test_a_spoiled_confirmation_counts_as_none(named: Settings, server: BundleServer, note: bytes) -> None:
    number(named)
    age(named, 2 * DAY)
    place_of(named.home, named.policy).with_suffix(".confirmed").write_bytes(note)
    assert kept_age(named) > DAY


@pytest.mark.parametrize("confirmed", ["null", '"x"', "NaN", "Infinity", "1" + "0" * 400, "9" * 12])
def test_a_copy_whose_moment_cannot_be_told_is_not_taken_without_its_server(
    named: Settings, server: BundleServer, confirmed: str
) -> None:
    number(named)
    place = place_of(named.home, named.policy)
    line, _, content = place.read_bytes().partition(b"\n")
    place.write_bytes(re.sub(rb'"confirmed": [0-9.]+', b'"confirmed": ' + confirmed.encode(), line) + b"\n" + content)
    server.misbehaviour = DOWN
    with pytest.raises(UnavailableError):
        load_policy(named)
    with pytest.raises(PolicyError):
        load_policy(named, online=False)
    server.misbehaviour = None
    assert number(named) == 1


def test_after_the_clock_was_set_back_the_age_cannot_be_told(named: Settings, server: BundleServer) -> None:
    number(named)
    age(named, -3600)
    server.misbehaviour = DOWN
    with pytest.raises(UnavailableError, match="the clock was set back"):
        load_policy(named)
    with pytest.raises(PolicyError, match="the clock was set back"):
        load_policy(named, online=False)
    server.misbehaviour = None
    assert number(named) == 1
    assert 0 <= kept_age(named) < DAY


def test_a_clock_that_is_corrected_a_little_refuses_nothing(named: Settings, server: BundleServer) -> None:
    number(named)
    age(named, -30)
    server.misbehaviour = DOWN
    assert number(named) == 1
    assert number(named, online=False) == 1


def test_policy_is_to_be_asked_for_again_before_it_is_too_old(named: Settings, server: BundleServer) -> None:
    patient = replace(named, policy_poll=3600.0, policy_max_age=7200.0)
    assert find_policy(patient).seconds == 3600
    age(patient, 1800)
    assert 1700 < find_policy(patient).seconds <= 1800
    server.misbehaviour = DOWN
    age(patient, 4800)
    assert 500 < find_policy(patient).seconds <= 600
    assert find_policy(replace(patient, policy="", policy_layers=())).seconds == float("inf")
    hasty = replace(patient, policy_max_age=60.0)
    server.misbehaviour = None
    assert find_policy(hasty).seconds <= 60


def test_a_confirmation_that_cannot_be_written_is_said(named: Settings, server: BundleServer) -> None:
    number(named)
    place_of(named.home, named.policy).with_suffix(".confirmed").mkdir()
    found = load_policy(named)
    assert found.data["number"] == 1
    assert "cannot be kept" in found.notes[0]
    assert not [path for path in (named.home / "policy").iterdir() if path.name.startswith(".")]


def test_doctor_says_that_the_copy_is_too_old(
    named: Settings,
    server: BundleServer,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "OPA_LIB": str(library.path),
        "POLICY": named.policy,
        "POLICY_KEYS": named.policy_keys,
        "POLICY_POLL": "0.000001",
    }.items():
        monkeypatch.setenv(f"INTERLOCK_{name}", value)
    number(named)
    age(named, 8 * DAY)
    server.misbehaviour = DOWN
    with pytest.raises(SystemExit, match="3"):
        main(["doctor", "--format", "json"])
    (check,) = (c for c in json.loads(capsys.readouterr().out)["checks"] if c["what"] == "policy engine")
    assert check["state"] == "broken"
    assert "last confirmed 8 days ago" in check["found"]
