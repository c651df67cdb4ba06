"""What must not be kept is nowhere in an event: not in its place, not repeated, not in a name, not in the lists."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import PolicyError
from interlock.policy.decisions.masking import DEFAULTS, Masked, mask, mask_rules
from interlock.policy.decisions.sweeping import PLACEHOLDER

SECRET = "hunter2-hunter2"


def masked(document: Any, *rules: Any, **event: Any) -> Masked:
    return mask({"input": document, **event}, (*DEFAULTS, *mask_rules(list(rules), where="test")))


def finding(message: str = "", evidence: str = "") -> dict[str, Any]:
    return {"rule_id": "a.b", "level": "error", "message": message, "evidence": evidence, "location": {"path": "p"}}


def test_findings_gaps_and_commands_are_masked_in_their_places() -> None:
    document = {
        "report": {
            "findings": [finding("row 3 holds Alice", '{"value": "Alice"}'), finding()],
            "coverage": {"failed": [{"path": "p", "reason": "not a float: Alice"}], "skipped": [], "looked_at": ["p"]},
            "attachments": {"picture": "Alice"},
        },
        "requested": {"command": ["python", "train.py", "--user=Alice"], "isolation": "bwrap"},
    }
    done = masked(document)
    assert "Alice" not in json.dumps(done.event)
    assert done.erased == ("/input/report/attachments",)
    assert set(done.masked) == {
        "/input/report/findings/0/message",
        "/input/report/findings/0/evidence",
        "/input/report/coverage/failed/0/reason",
        "/input/requested/command/0",
        "/input/requested/command/1",
        "/input/requested/command/2",
    }
    assert done.event["input"]["requested"]["isolation"] == "bwrap"
    assert done.event["input"]["report"]["findings"][1] == finding()
    assert document["report"]["findings"][0]["message"] == "row 3 holds Alice"  # type: ignore[index]  # the copy


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        pytest.param({"requested": {"password": SECRET}}, "requested", id="by its name"),
        pytest.param({"requested": {"dbPassword": SECRET}}, "requested", id="by the end of its name"),
        pytest.param({"requested": {"API-Key": SECRET}}, "requested", id="whatever its case"),
        pytest.param({"requested": {"credentials": {"a": {"b": [SECRET]}}}}, "requested", id="below its name"),
        pytest.param({"requested": {"env": {"HOME": SECRET}}}, "HOME", id="environment as an object"),
        pytest.param({"requested": {"env": [{"name": "HOME", "value": SECRET}]}}, "HOME", id="environment as entries"),
        pytest.param({"requested": {"env": [f"HOME={SECRET}"]}}, "env", id="environment as texts"),
        pytest.param({"facts": {"graph": {"tasks": [{"env": {"A": SECRET}}]}}}, "tasks", id="deep in a fact"),
        pytest.param({"subject": {"uri": f"s3://key:{SECRET}@host/b"}}, "@host/b", id="password of a URL"),
        pytest.param({"subject": {"uri": f"https://{SECRET}@host/b"}}, "@host/b", id="user of a URL"),
        pytest.param({"subject": {"uri": f"https://h/b?X-Amz-Signature={SECRET}&v=1"}}, "X-Amz-Signature=", id="query"),
        pytest.param({"note": f"Authorization: Bearer {SECRET}"}, "Authorization", id="bearer token"),
        pytest.param({"note": f"run --api-key={SECRET} now"}, "run --api-key=", id="argument"),
        pytest.param({"note": f"run --password {SECRET} now"}, " now", id="argument apart"),
        pytest.param({"note": f"-----BEGIN PRIVATE KEY-----\n{SECRET}"}, "note", id="private key without an end"),
    ],
)
def test_credentials_are_found_by_their_look(document: Any, kept: str) -> None:
    done = masked(document)
    said = json.dumps(done.event)
    assert SECRET not in said
    assert kept in said
    assert done.masked


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"requested": {"automountServiceAccountToken": False}}, id="a truth value"),
        pytest.param({"measures": {"tokens": {"value": 3, "unit": ""}}}, id="a number"),
        pytest.param({"subject": {"uri": "s3://lake/train/2026-11-23/"}}, id="a plain URL"),
        pytest.param({"environment": "production"}, id="the word environment"),
        pytest.param({"image": f"registry.example/train@sha256:{'a' * 64}"}, id="an image by digest"),
    ],
)
def test_what_is_no_secret_stays(document: Any) -> None:
    done = masked(document)
    assert done.event["input"] == document
    assert (done.erased, done.masked) == ((), ())


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [
        pytest.param('{"format": "torch-zip"}', True, id="a format"),
        pytest.param('{"format": "Alice Smith"}', False, id="no word of the scanner's"),
        pytest.param('{"format": "zip", "value": "Alice"}', False, id="more than a format"),
        pytest.param(f'{{"format": "{"a" * 40}"}}', False, id="a long text"),
    ],
)
def test_the_format_that_a_rule_judges_by_stays(evidence: str, *, kept: bool) -> None:
    done = masked({"report": {"findings": [finding("", evidence)]}})
    assert (done.event["input"]["report"]["findings"][0]["evidence"] == evidence) is kept


def test_a_masked_text_is_taken_out_of_the_policys_words_too() -> None:
    reason = {"id": "gate.findings", "severity": "high", "message": f"found: {SECRET}!", "title": "T"}
    done = masked({"report": {"findings": [finding(SECRET)]}}, result={"reasons": [reason]}, error={"message": SECRET})
    assert done.event["result"]["reasons"][0]["message"] == f"found: {PLACEHOLDER}!"
    assert done.event["error"]["message"] == PLACEHOLDER
    assert {"/result/reasons/0/message", "/error/message"} <= set(done.masked)


def test_a_value_inside_masked_evidence_is_taken_out_of_sentences_but_plain_words_stay() -> None:
    evidence = json.dumps({"value": "Alice Smith", "gate": "data-validation"})
    document = {
        "gate": "data-validation",
        "run": {"pipeline": "data-validation"},
        "report": {"findings": [finding("m", evidence)]},
    }
    result = {"reasons": [{"id": "x", "message": "data-validation saw Alice Smith"}]}
    done = masked(document, result=result)
    assert done.event["result"]["reasons"][0]["message"] == f"data-validation saw {PLACEHOLDER}"
    assert done.event["input"]["run"]["pipeline"] == "data-validation"


def test_words_of_the_data_do_not_hide_what_interlock_wrote() -> None:
    """Whoever writes the data must not be able to blank the log."""
    document = {
        "gate": "data-validation",
        "stage": "gate",
        "subject": {"digest": {"sha256": "a" * 64}},
        "report": {"findings": [finding("data-validation"), finding("a" * 64), finding("error"), finding("masked")]},
    }
    done = masked(document)
    assert done.event["input"]["gate"] == "data-validation"
    assert done.event["input"]["subject"] == document["subject"]
    assert [one["level"] for one in done.event["input"]["report"]["findings"]] == ["error"] * 4


@pytest.mark.parametrize(
    ("rule", "left", "erased", "replaced"),
    [
        pytest.param("/input/a", {"list": [1, 2, 3]}, ("/input/a",), (), id="a path alone removes"),
        pytest.param(
            {"op": "remove", "path": "/input/a/b"}, {"a": {}, "list": [1, 2, 3]}, ("/input/a/b",), (), id="remove"
        ),
        pytest.param(
            {"op": "upsert", "path": "/input/a/b", "value": "x"},
            {"a": {"b": "x"}, "list": [1, 2, 3]},
            (),
            ("/input/a/b",),
            id="upsert",
        ),
        pytest.param(
            {"op": "remove", "path": "/input/list/1"},
            {"a": {"b": "SEC"}, "list": [1, 3]},
            ("/input/list/1",),
            (),
            id="element",
        ),
        pytest.param(
            {"op": "remove", "path": "/input/list/*"},
            {"a": {"b": "SEC"}, "list": []},
            ("/input/list/2", "/input/list/1", "/input/list/0"),
            (),
            id="every element",
        ),
        pytest.param(
            {"op": "remove", "path": "/input/none/x"},
            {"a": {"b": "SEC"}, "list": [1, 2, 3]},
            (),
            (),
            id="nothing there",
        ),
        pytest.param(
            {"op": "upsert", "path": "/input/new"}, {"a": {"b": "SEC"}, "list": [1, 2, 3]}, (), (), id="adds nothing"
        ),
        pytest.param(
            {"op": "remove", "path": "/input/list/9"}, {"a": {"b": "SEC"}, "list": [1, 2, 3]}, (), (), id="past the end"
        ),
    ],
)
def test_an_organisations_rules_are_those_of_opa(rule: Any, left: Any, erased: Any, replaced: Any) -> None:
    done = masked({"a": {"b": "SEC"}, "list": [1, 2, 3]}, rule)
    assert done.event["input"] == left
    assert (done.erased, done.masked) == (erased, replaced)


def test_the_whole_input_can_be_removed() -> None:
    done = masked({"a": SECRET}, "/input", result={"reasons": [{"message": SECRET}]})
    assert "input" not in done.event
    assert done.erased == ("/input",)
    assert SECRET not in json.dumps(done.event)


def test_pointers_are_written_as_opa_writes_them_and_hide_names_too() -> None:
    done = masked({"requested": {"env": {"a b/c": "value-of-it", SECRET: SECRET}}})
    assert SECRET not in json.dumps(done.event) + json.dumps(done.masked)
    assert "/input/requested/env/a%20b%2Fc" in done.masked


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("input/a", id="no slash"),
        pytest.param("", id="empty"),
        pytest.param("/", id="the root"),
        pytest.param("/labels", id="elsewhere"),
        pytest.param("/input//a", id="an empty step"),
        pytest.param({"path": "/input/a"}, id="no op"),
        pytest.param({"op": "add", "path": "/input/a"}, id="another op"),
        pytest.param({"op": "remove"}, id="no path"),
        pytest.param({"op": "remove", "path": "/input/a", "pth": 1}, id="a misspelt field"),
        pytest.param(1, id="a number"),
        pytest.param(None, id="null"),
    ],
)
def test_a_rule_that_cannot_be_read_is_an_error_and_not_ignored(rule: Any) -> None:
    with pytest.raises(PolicyError, match="mask"):
        mask_rules([rule], where="test")


@pytest.mark.parametrize("rules", [None, "/input/a", {"op": "remove"}, 1])
def test_a_mask_that_is_no_list_is_an_error(rules: Any) -> None:
    with pytest.raises(PolicyError, match="no list"):
        mask_rules(rules, where="test")


# With a sign that no key of an event has: a key that is called as the secret is no leak.
secrets = (
    st.text(string.ascii_letters + string.digits + ' äß漢"\\\n/%{}[]', min_size=7, max_size=30)
    .map(lambda text: f"~{text}")
    .filter(lambda text: text.strip() == text)
)


def strings_of(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        return [text for key, value in node.items() for text in (key, *strings_of(value))]
    return [text for value in node for text in strings_of(value)] if isinstance(node, list) else []


@given(secret=secrets, place=st.sampled_from(["message", "evidence", "env", "token", "command", "reason", "password"]))
def test_a_masked_value_is_nowhere_in_the_event(secret: str, place: str) -> None:
    echoes = f"before {secret} after"
    document: dict[str, Any] = {
        "gate": "data-validation",
        "subject": {"name": secret, "uri": f"file:///{secret}"},
        "run": {"pipeline": echoes},
        "report": {
            "findings": [finding()],
            "coverage": {"failed": []},
            "facts": {"seen": [echoes], secret: {"x": echoes}},
        },
        "requested": {"parameters": {"a": [secret]}},
    }
    put: dict[str, Any] = {
        "message": lambda: document["report"]["findings"].append(finding(secret)),
        "evidence": lambda: document["report"]["findings"].append(finding("", secret)),
        "env": lambda: document["requested"].update(env=[{"name": "A", "value": secret}]),
        "token": lambda: document["requested"].update(hf_token=secret),
        "command": lambda: document["requested"].update(command=["python", secret]),
        "reason": lambda: document["report"]["coverage"]["failed"].append({"path": "p", "reason": secret}),
        "password": lambda: document["requested"].update(password=secret),
    }
    put[place]()
    quoted = json.dumps({"quoted": secret})
    result = {
        "allow": False,
        "reasons": [{"id": "x", "message": echoes, "remediation": quoted}],
        "more": {"a": [secret]},
    }
    done = masked(document, result=result, error={"code": "undecided", "message": echoes})
    everything = json.dumps([done.event, done.erased, done.masked])
    assert secret not in everything
    assert json.dumps(secret)[1:-1] not in everything
    assert not [text for text in strings_of(json.loads(everything)) if secret in text]
