"""Who may say how strictly: the system file, then the environment, then the user's file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from interlock.gate import Settings, SettingsError


def load(tmp_path: Path, system: str = "", user: str = "", **environ: str) -> Settings:
    system_file, user_file = tmp_path / "system.toml", tmp_path / "user.toml"
    system_file.write_text(system)
    user_file.write_text(user)
    return Settings.load({"INTERLOCK_CONFIG": str(user_file), **environ}, system_file=system_file)


def test_the_default_is_the_standard_profile(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.profile == "standard"
    assert settings.receipt_lifetime == timedelta(days=1)
    assert settings.ledger_url.startswith("sqlite:///")


def test_the_administrators_file_wins_over_environment_and_user(tmp_path: Path) -> None:
    settings = load(tmp_path, 'profile = "strict"', 'profile = "dev"', INTERLOCK_PROFILE="dev")
    assert settings.profile == "strict"


def test_the_environment_wins_over_the_users_file(tmp_path: Path) -> None:
    assert load(tmp_path, user='profile = "strict"', INTERLOCK_PROFILE="dev").profile == "dev"


def test_everything_follows_home(tmp_path: Path) -> None:
    settings = load(tmp_path, INTERLOCK_HOME=str(tmp_path / "h"))
    assert settings.store == tmp_path / "h" / "store"
    assert str(tmp_path / "h") in settings.ledger_url


@pytest.mark.parametrize(
    ("user", "says"),
    [
        pytest.param("profile = ", "cannot be read", id="not-toml"),
        pytest.param('proflie = "dev"', "unknown setting 'proflie'", id="misspelt"),
        pytest.param("profile = true", "neither text nor a number", id="boolean"),
        pytest.param('engine = "regorus"', "engine 'regorus' is unknown", id="unknown-engine"),
        pytest.param("engine_deadline = -1", "positive number", id="negative-deadline"),
        pytest.param('receipt_lifetime = "soon"', "positive number", id="lifetime-is-a-word"),
        pytest.param("policy_max_age = 0", "positive number", id="no-age-at-all"),
        pytest.param("policy_max_age = inf", "positive number", id="a-copy-for-ever"),
        pytest.param("engine_deadline = inf", "positive number", id="endless-deadline"),
        pytest.param('airflow_hard_mode = "perhaps"', "airflow_hard_mode is yes or no", id="perhaps-hard"),
    ],
)
def test_a_malformed_setting_is_one_clear_error(tmp_path: Path, user: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(tmp_path, user=user)


@pytest.mark.parametrize(
    ("user", "is_hard"),
    [("", False), ("airflow_hard_mode = true", True), ('airflow_hard_mode = "yes"', True)],
    ids=["unless-asked-for", "as-a-boolean", "as-a-word"],
)
def test_hard_mode_is_off_unless_it_is_asked_for(tmp_path: Path, user: str, *, is_hard: bool) -> None:
    assert load(tmp_path, user=user).airflow_hard_mode is is_hard


def test_a_named_file_that_is_missing_is_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not there"):
        Settings.load({"INTERLOCK_CONFIG": str(tmp_path / "none.toml")}, system_file=tmp_path / "none")


def test_a_list_of_bundles_can_be_a_toml_array(tmp_path: Path) -> None:
    assert load(tmp_path, user='known_bundles = ["aa", "bb"]').known_bundles == ("aa", "bb")
