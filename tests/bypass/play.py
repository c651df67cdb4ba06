"""Plays the tricks 9 to 12 on sound DAGs that have run: what somebody with the UI, the API or a shell can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.bypass.field import Field
from tests.bypass.tricks import TRICKS, Trick

FORGER = "trick_12_forger"


def installed(levels: Iterable[str], *, played: bool) -> list[tuple[Trick, str, str]]:
    """Trick, level and DAG id of all that are played by hand, or of all that are not."""
    return [
        (trick, level, f"{level}_{trick.name}")
        for trick in TRICKS
        for level in trick.at
        if level in levels and (9 <= trick.number <= 12) is played
    ]


def install_all(field: Field, levels: Iterable[str]) -> None:
    """Every trick at these levels, and what they need."""
    for trick, level, _ in installed(levels, played=False):
        field.install(trick.name, level)
    for trick, level, _ in installed(levels, played=True):
        field.install("sound_secure" if trick.name.endswith("secure") else "sound", level, trick.name)
    field.install(FORGER, "open")


def play_all(field: Field, levels: Iterable[str]) -> None:
    """Play all tricks that are played; they are over when this returns.

    Nothing else runs meanwhile, so that what is asked of the API does not wait for tasks that start.
    """
    chosen = installed(levels, played=True)
    forged = [dag_id for trick, _, dag_id in chosen if trick.number == 12]
    forge(field, forged)
    for trick, _, dag_id in chosen:
        if trick.name in _BY_HAND:
            _BY_HAND[trick.name](field, dag_id)
    field.wait_until_quiet()
    for trick, level, dag_id in chosen:
        if trick.number == 11:
            field.say(dag_id, "-m", "airflow", *_SHELL[trick.name](dag_id), more=field.alone(level, trick.name))


def mark_single(field: Field, dag_id: str) -> None:
    """Mark the gate success, as the UI does."""
    field.ask("PATCH", field.instance(dag_id, "gate"), {"new_state": "success"})


def mark_bulk(field: Field, dag_id: str) -> None:
    """The same in one request for many, under another URL."""
    entities = [{"task_id": "gate", "new_state": "success"}]
    body = {"actions": [{"action": "update", "entities": entities}]}
    answer = field.ask("PATCH", f"/dags/{dag_id}/dagRuns/{field.run_of(dag_id)}/taskInstances", body)
    assert not answer["update"]["errors"], answer


def clear_train(field: Field, dag_id: str) -> None:
    """Clear the training alone, after its data changed."""
    assert field.task(dag_id, "gate")["state"] == "success"
    assert field.trained(dag_id), "the first training was in order"
    (field.marks / dag_id).unlink()
    field.write_data("changed.json", '{"rows": [6, 6, 6]}')
    body = {
        "dry_run": False,
        "task_ids": ["train"],
        "dag_run_id": field.run_of(dag_id),
        "only_failed": False,
        "reset_dag_runs": True,
    }
    field.ask("POST", f"/dags/{dag_id}/clearTaskInstances", body)


def forge(field: Field, victims: list[str]) -> None:
    """Run the DAG that writes over the XComs of the others, and look that it did."""
    dag_id = f"open_{FORGER}"
    conf = {"victims": [[victim, field.run_of(victim)] for victim in victims]}
    field.ask("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
    field.wait(lambda: field.task(dag_id, "forge")["state"] in {"success", "failed"}, "the forger is over")
    for victim in victims:
        path = f"/dags/{victim}/dagRuns/{field.run_of(victim)}/taskInstances/gate/xcomEntries/return_value"
        assert "ALLOW" in str(field.ask("GET", path)["value"])


_BY_HAND: dict[str, Callable[[Field, str], None]] = {
    "trick_09_mark_single": mark_single,
    "trick_09_mark_bulk": mark_bulk,
    "trick_09_mark_secure": mark_single,
    "trick_10_clear": clear_train,
    "trick_12_forged": mark_single,
}
_SHELL: dict[str, Callable[[str], tuple[str, ...]]] = {
    "trick_11_tasks_test": lambda dag_id: ("tasks", "test", dag_id, "train"),
    "trick_11_dags_test": lambda dag_id: ("dags", "test", "--mark-success-pattern", "gate", dag_id),
}
