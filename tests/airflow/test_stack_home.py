"""The home of a stack: secrets, lock, configuration."""

from __future__ import annotations

import configparser
import json
import os
import stat
from pathlib import Path

import pytest

from interlock.airflow.stack import AirflowStack
from interlock.airflow.stack_home import StackHome
from interlock.gate.errors import UnavailableError, UsageError


def written(home: StackHome, **other: object) -> str:
    given = {"dags": Path("/dags"), "address": "http://127.0.0.1:8123", "parallelism": 2, "overrides": {}, **other}
    return home.write(**given)  # type: ignore[arg-type]  # keyword arguments of one test


def read(home: StackHome) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(home.configuration)
    return parser


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    home = StackHome.make(tmp_path / "home")
    written(home)
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.configuration.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.passwords.stat().st_mode) == 0o600


def test_secrets_survive_a_restart_and_differ_between_homes(tmp_path: Path) -> None:
    one, other = StackHome.make(tmp_path / "one"), StackHome.make(tmp_path / "other")
    password = written(one)
    first = read(one)
    assert written(one, address="http://127.0.0.1:9000") == password
    assert read(one)["api_auth"]["jwt_secret"] == first["api_auth"]["jwt_secret"]
    assert read(one)["core"]["fernet_key"] == first["core"]["fernet_key"]
    assert read(one)["api"]["port"] == "9000"
    assert written(other) != password
    assert read(other)["api_auth"]["jwt_secret"] != first["api_auth"]["jwt_secret"]
    assert len(first["api_auth"]["jwt_secret"]) >= 64


def test_settings_of_the_caller_win_and_percent_signs_survive(tmp_path: Path) -> None:
    home = StackHome.make(tmp_path / "50%")
    written(home, overrides={"core": {"parallelism": "7"}, "email": {"from_email": "a%b"}})
    assert read(home)["core"]["parallelism"] == "7"
    assert read(home)["email"]["from_email"] == "a%b"
    assert "50%/airflow.db" in read(home)["database"]["sql_alchemy_conn"]


def test_a_spoilt_password_file_gets_a_new_password(tmp_path: Path) -> None:
    home = StackHome.make(tmp_path / "home")
    written(home)
    home.passwords.write_text("{")
    password = written(home)
    assert json.loads(home.passwords.read_text()) == {"admin": password}


def test_two_stacks_cannot_share_a_home(tmp_path: Path) -> None:
    home = StackHome.make(tmp_path / "home")
    held = home.lock()
    with pytest.raises(UnavailableError, match="another Airflow runs in this home"):
        home.lock(patience=0.0)
    os.close(held)
    os.close(home.lock(patience=0.0))


def test_a_file_in_place_of_the_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(UsageError, match="home folder cannot be made"):
        StackHome.make(tmp_path / "home")


def test_a_missing_dags_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DAGs folder is not there"):
        AirflowStack(tmp_path / "home", tmp_path / "dags").start()
    assert not (tmp_path / "home").exists()


def test_a_stack_that_is_not_started_has_no_client(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not started"):
        _ = AirflowStack(tmp_path / "home", tmp_path).client
