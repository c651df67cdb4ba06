"""`interlock policy eval` behind its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import interlock.policy
from interlock.gate import PolicyError, Settings, SettingsError
from interlock.policy import Library, evaluate


@pytest.fixture
def settings(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    return replace(Settings.load({}, system_file=tmp_path / "none"), home=tmp_path)


def test_a_query_over_the_shipped_bundle_answers_as_opa_eval_does(settings: Settings) -> None:
    answer = json.loads(json.dumps(evaluate(settings, query="data.interlock.decision.allow", document={})))
    assert answer["result"][0]["expressions"][0]["value"] is False


def test_undefined_is_an_empty_object(settings: Settings) -> None:
    assert evaluate(settings, query="data.interlock.nothing", document={}) == {}


def test_several_policies_are_joined(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package a\n\nx := data.b.y + input\n")
    (tmp_path / "b.rego").write_text("package b\n\ny := 40\n")
    policies = (tmp_path / "a.rego", tmp_path / "b.rego")
    answer = evaluate(settings, query="z := data.a.x", document=2, policies=policies)
    assert json.loads(json.dumps(answer))["result"][0]["bindings"] == {"z": 42}


def test_a_broken_query_and_a_missing_policy_are_clear_errors(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"(?s)cannot be evaluated.*Next: correct the query") as refused:
        evaluate(settings, query="data.interlock[", document={})
    assert "policy eval" not in str(refused.value)
    with pytest.raises(SettingsError, match="no policy bundle"):
        evaluate(settings, query="data", document={}, policies=(tmp_path / "none",))


def test_exported_members() -> None:
    assert sorted(interlock.policy.__all__) == [
        "Answer",
        "Bundle",
        "DECISION_PATH",
        "EmbeddedEngine",
        "EngineMissingError",
        "FollowingDecider",
        "Library",
        "Module",
        "PolicyDecider",
        "PolicyEngine",
        "evaluate",
        "install_engine",
        "layered",
        "load_policy",
        "locate",
        "open_decider",
        "open_engine",
        "required_gates",
    ]
    assert all(hasattr(interlock.policy, name) for name in interlock.policy.__all__)


def test_reading_required_gates_brings_in_no_engine() -> None:
    script = (
        "import sys; from interlock.policy import Bundle, required_gates; "
        "required_gates(Bundle.load(), 'dev', 'training'); "
        "print([m for m in ('jsonschema', 'subprocess', 'ctypes', 'interlock.policy.engines') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
