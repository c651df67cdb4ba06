"""What is read off a request by itself: what cannot be read counts as done, and what only asks does not."""

from __future__ import annotations

import json

import pytest

from interlock.airflow_plugin.manual import Exchange, changes_of, is_watched

RUN = "dags/d/dagRuns/r"


def read(method: str, path: str, body: object, answer: object) -> list[tuple[str, str, str, str]]:
    def content(value: object) -> bytes | None:
        return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()

    assert is_watched(method, path)
    exchange = Exchange(method=method, path=path, body=content(body), answer=content(answer))
    return [(one.kind.value, one.dag_id, one.run_id, one.task_id) for one in changes_of(exchange)]


@pytest.mark.parametrize(
    ("method", "path", "body", "answer", "expected"),
    [
        pytest.param("PATCH", "dags/d", None, None, [("paused", "d", "", "")], id="pausing-unread"),
        pytest.param("PATCH", "dags", None, None, [("paused", "~", "", "")], id="pausing-many-unread"),
        pytest.param(
            "PATCH",
            "dags",
            {"is_paused": False},
            {"dags": [{"dag_id": "a", "is_paused": False}], "total_entries": 9},
            [("unpaused", "a", "", ""), ("unpaused", "~", "", "")],
            id="unpausing-more-than-a-page",
        ),
        pytest.param("PATCH", "dags", {"is_paused": True}, {"dags": [], "total_entries": 0}, [], id="pausing-none"),
        pytest.param("POST", "dags/d/clearTaskInstances", None, None, [("cleared", "d", "", "")], id="clearing-unread"),
        pytest.param(
            "POST", "dags/d/clearTaskInstances", {}, {"task_instances": [{}]}, [], id="clearing-dry-unless-said"
        ),
        pytest.param(
            "POST",
            "dags/d/clearTaskInstances",
            {"dry_run": "false"},
            {"task_instances": [{"task_id": "t", "dag_run_id": "r", "map_index": None}, "nonsense"]},
            [("cleared", "d", "r", "t")],
            id="clearing-said-as-text",
        ),
        pytest.param("POST", f"{RUN}/clear", {"dry_run": True}, {}, [], id="run-cleared-dry"),
        pytest.param("POST", "dags/d/clearDagRuns", None, None, [("cleared", "d", "", "")], id="runs-cleared-unread"),
        pytest.param(
            "PATCH", RUN, None, {"state": "failed"}, [("marked-failed", "d", "r", "")], id="run-marked-by-the-answer"
        ),
        pytest.param("PATCH", RUN, None, None, [("marked-success", "d", "r", "")], id="run-marked-unread"),
        pytest.param("PATCH", RUN, {"note": "n"}, {"state": "success"}, [], id="only-a-note"),
        pytest.param("PATCH", RUN, {"state": "queued"}, {}, [("cleared", "d", "r", "")], id="run-queued-again"),
        pytest.param("PATCH", "dags/d/dagRuns", None, None, [("marked-success", "d", "", "")], id="bulk-unread"),
        pytest.param(
            "PATCH",
            "dags/~/dagRuns",
            {"actions": [{"action": "delete", "entities": [{"dag_id": "d", "dag_run_id": "r"}, "q"]}, "nonsense"]},
            {},
            [("deleted", "d", "r", ""), ("deleted", "~", "q", "")],
            id="bulk-deletes",
        ),
        pytest.param("PATCH", f"{RUN}/taskInstances", {"actions": None}, {}, [], id="bulk-of-nothing"),
        pytest.param("DELETE", f"{RUN}/taskInstances/t", None, b"", [("deleted", "d", "r", "t")], id="task-deleted"),
        pytest.param("PATCH", f"{RUN}/taskInstances/t", {"new_state": "success"}, {}, [], id="left-to-the-listener"),
    ],
)
def test_a_request_is_read(
    method: str, path: str, *, body: object, answer: object, expected: list[tuple[str, str, str, str]]
) -> None:
    assert read(method, path, body, answer) == expected


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"nonsense", b"[]", b"null", b""])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "dags"),
        ("PATCH", "dags/d"),
        ("POST", "dags/d/clearTaskInstances"),
        ("POST", f"{RUN}/clear"),
        ("POST", "dags/d/clearDagRuns"),
        ("PATCH", "dags/d/dagRuns"),
        ("PATCH", RUN),
        ("PATCH", f"{RUN}/taskInstances"),
    ],
)
def test_no_content_breaks_the_reading(method: str, path: str, content: bytes) -> None:
    read(method, path, content, content)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "dags/d"),
        ("PATCH", "variables/v"),
        ("PATCH", f"{RUN}/taskInstances/t/dry_run"),
        ("POST", "dags/d/dagRuns"),
    ],
)
def test_other_requests_are_not_watched(method: str, path: str) -> None:
    assert not is_watched(method, path)
