"""`interlock airflow setup`, `status` and `recheck` on Airflow's real database; with runs: test_quarantine_stack.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from interlock.airflow_plugin.quarantine import POOL
from interlock.cli import main

Interlock = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def interlock(airflow_database: None, deployment: object, capsys: pytest.CaptureFixture[str]) -> Interlock:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as left:
            main(["airflow", *arguments, "--format", "json"])
        return int(str(left.value.code)), json.loads(capsys.readouterr().out)

    return run


def pool() -> tuple[int, bool] | None:
    from airflow.models.pool import Pool

    found = Pool.get_pool(POOL)
    return (found.slots, found.include_deferred) if found is not None else None


def change_pool(*, slots: int) -> None:
    from airflow.models.pool import Pool

    Pool.create_or_update_pool(name=POOL, slots=slots, description="", include_deferred=True)


def of(said: dict[str, Any], what: str) -> dict[str, str]:
    found: list[dict[str, str]] = [check for check in said["checks"] if check["what"] == what]
    return found[0]


def test_setup_makes_the_pool_and_says_what_is_in_force(interlock: Interlock) -> None:
    for _again in range(2):
        status, said = interlock("setup")
        assert status == 0
        assert {check["state"] for check in said["checks"]} == {"ok"}
        assert of(said, "cluster policy")["found"] == "dag_policy, task_instance_mutation_hook"
        assert pool() == (0, False)


@pytest.mark.parametrize(("slots", "found"), [(3, "has 3 slots"), (-1, "has endless slots")])
def test_a_pool_with_slots_is_told_and_mended(interlock: Interlock, slots: int, found: str) -> None:
    change_pool(slots=slots)
    status, said = interlock("status")
    assert status == 3
    assert found in of(said, "quarantine pool")["found"]
    assert pool() == (slots, True), "a look changes nothing"
    assert interlock("setup")[0] == 0
    assert pool() == (0, False)


def test_a_policy_that_cannot_be_read_is_told(interlock: Interlock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_POLICY", "/nowhere/at/all")
    status, said = interlock("status")
    assert (status, of(said, "policy")["state"]) == (3, "broken")
    assert "every new task waits" in of(said, "policy")["found"]


def test_a_hook_that_airflow_would_pass_by_is_told(interlock: Interlock, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow import settings

    monkeypatch.setattr(settings.task_instance_mutation_hook, "is_noop", True)
    status, said = interlock("status")
    assert (status, of(said, "new task instances")["state"]) == (3, "broken")


def test_recheck_moves_nothing_where_nothing_waits(interlock: Interlock) -> None:
    assert interlock("recheck") == (0, {"moved": []})


def test_a_database_that_does_not_answer_is_told(
    deployment: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow.utils import session
    from sqlalchemy.exc import OperationalError

    def refused() -> None:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    monkeypatch.setattr(session, "create_session", refused)
    with pytest.raises(SystemExit, match="3"):
        main(["airflow", "setup"])
    assert "Airflow's database cannot be used: connection refused" in capsys.readouterr().err
