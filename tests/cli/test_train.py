"""`interlock train` as a person types it: the guard, the sandbox, the receipt, and what is said of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Interlock

from interlock.cli.sizes import Size
from interlock.training import BwrapSandbox

SCRIPT = """
import json, os, sys
print("learning")
if os.environ.get("BREAK"):
    raise SystemExit("no luck")
with open(sys.argv[2] + "/metrics.json", "w") as out:
    json.dump({"rows": len(open(sys.argv[1]).readlines()), "seed": os.environ["INTERLOCK_SEED"]}, out)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interlock: Interlock) -> Path:
    """A dataset that passed both gates, and a script, in the current folder."""
    if not BwrapSandbox().probe().available:
        pytest.skip("bubblewrap does not work here")
    monkeypatch.setenv("INTERLOCK_PROFILE", "dev")
    monkeypatch.chdir(tmp_path)
    Path("train.csv").write_text("a,b,label\n" + "".join(f"{n % 7},{n % 5},{n % 2}\n" for n in range(60)))
    Path("suite.json").write_text(
        json.dumps({"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "label"}}]})
    )
    Path("train.py").write_text(SCRIPT)
    return tmp_path


def pass_the_gates(interlock: Interlock) -> None:
    assert interlock("gate", "data-validation", "train.csv", "--suite", "suite.json").status == 0
    assert interlock("gate", "data-poisoning", "train.csv", "--label", "label").status == 0


COMMAND = ("--", "python", "train.py", "{data}", "{out}")


def test_without_receipts_nothing_starts(project: Path, interlock: Interlock) -> None:
    said = interlock("train", "--data", "train.csv", "--out", "model", *COMMAND)
    assert said.status == 1
    assert "no data-validation receipt opens for these bytes" in said.err
    assert "learning" not in said.err
    assert not (project / "model").exists()


def test_a_model_appears_with_its_receipt(project: Path, interlock: Interlock) -> None:
    pass_the_gates(interlock)
    said = interlock("train", "--data", "train.csv", "--out", "model", "--seed", "7", "--report", "r.html", *COMMAND)
    assert said.status == 0, said.err
    assert said.out.startswith(f"ALLOW  training of {(project / 'model').as_uri()}\n")
    assert "learning" in said.err
    assert json.loads((project / "model" / "metrics.json").read_text()) == {"rows": 61, "seed": "7"}
    assert "training" in (project / "r.html").read_text()
    assert interlock("verify", "model").status == 0


def test_json_is_one_object_and_nothing_else(project: Path, interlock: Interlock) -> None:
    pass_the_gates(interlock)
    said = interlock("train", "--data", "train.csv", "--out", "model", "--format", "json", *COMMAND)
    assert said.json["verdict"] == "ALLOW"
    assert said.err == ""


def test_a_training_that_fails_is_denied_with_its_last_line(project: Path, interlock: Interlock) -> None:
    pass_the_gates(interlock)
    said = interlock("train", "--data", "train.csv", "--out", "model", "--env", "BREAK=1", *COMMAND)
    assert said.status == 1
    assert "no luck" in said.out
    assert not (project / "model").exists()


def test_a_pickle_leaves_only_where_it_is_kept_and_the_receipt_says_so(project: Path, interlock: Interlock) -> None:
    pass_the_gates(interlock)
    Path("dump.py").write_text("import pickle, sys\npickle.dump({'w': [1.0]}, open(sys.argv[1] + '/m.pkl', 'wb'))\n")
    words = ("train", "--data", "train.csv", "--out", "model", "--report", "r.json")
    refused = interlock(*words, "--", "python", "dump.py", "{out}")
    assert refused.status == 1
    assert "'m.pkl' is a pickle (pickle) that is not converted" in refused.out
    assert "skops.io.dump" in refused.out
    assert not (project / "model").exists()
    kept = interlock(*words, "--keep-pickles", "--", "python", "dump.py", "{out}")
    assert kept.status == 0, kept.out
    report = json.loads(Path("r.json").read_text())["report"]
    assert report["facts"]["training"]["no_pickles"] is False
    assert report["configuration"]["safeguards"]["pickles"]["kept"] == [
        {"path": "m.pkl", "format": "pickle", "profile": "torch-state-dict"}
    ]
    assert "training.pickle-kept" in {finding["rule_id"] for finding in report["findings"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param((), "nothing to run", id="nothing"),
        pytest.param(("--function", "m:f", *COMMAND), "either a command or a function", id="both"),
        pytest.param(("--env", "BREAK", *COMMAND), "NAME=VALUE", id="no-value"),
        pytest.param(("--env", "API_TOKEN=x", *COMMAND), "holds no secrets", id="secret"),
        pytest.param(("--memory", "much", *COMMAND), "is no size", id="no-size"),
        pytest.param(("--wall-clock", "0", *COMMAND), "positive number", id="no-time"),
        pytest.param(("--", "python", "missing.py"), "is not there", id="no-script"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    words: tuple[str, ...], message: str, project: Path, interlock: Interlock
) -> None:
    said = interlock("train", "--data", "train.csv", "--out", "model", *words)
    assert said.status == 2
    assert message in said.err
    assert not (project / "model").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("10GiB", 10 * 2**30), ("1.5 kB", 1500), ("2m", 2_000_000), ("1TiB", 2**40), ("3b", 3)],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size
