"""The gate `model-probe` with real parts: bubblewrap, OPA, SQLite, and models whose every answer is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.probes.evaluating import Bench, bench_in, evaluation_rows, reasons

from interlock.gate import GateOutcome, Settings, UsageError, Verdict
from interlock.training import BwrapSandbox


@pytest.fixture
def bench(tmp_path: Path, home: Path) -> Iterator[Bench]:
    found = BwrapSandbox().probe()
    if not found.available:
        pytest.skip(f"bubblewrap does not work here: {found.reason}. To get it: {found.how_to_get}")
    made = bench_in(tmp_path, Settings.load())
    with made.runner:
        yield made


def facts(outcome: GateOutcome) -> Any:
    return json.loads(dict(outcome.report.observation.facts)["evaluation"])


def measures(outcome: GateOutcome) -> dict[str, float]:
    return {measure.name: measure.value for measure in outcome.report.observation.measures}


def groups(outcome: GateOutcome) -> dict[str, dict[str, Any]]:
    return {f"{group['kind']} {group['name']}": group for group in facts(outcome)["groups"]}


def rules(outcome: GateOutcome) -> set[str]:
    return {finding.rule_id for finding in outcome.report.observation.findings}


GOOD = {"cat:1": "dog"}
"""Wrong on a fifth of the cats, which is a tenth of all rows."""


def test_the_first_model_passes_and_the_next_is_compared_with_it(bench: Bench) -> None:
    first = bench.evaluate(bench.model("one", GOOD))
    assert first.decision.verdict is Verdict.ALLOW
    assert facts(first)["accepted"] is None
    assert measures(first)["accuracy"] == pytest.approx(0.9)
    assert "model-probe.first" in rules(first)

    second = bench.evaluate(bench.model("two"))
    assert second.decision.verdict is Verdict.ALLOW
    assert facts(second)["accepted"]["digest"] == {"sha256": first.report.subject.digest}
    assert facts(second)["accepted"]["lost"] == pytest.approx(0)
    assert measures(second)["accepted_accuracy"] == pytest.approx(0.9)
    assert groups(second)["class cat"]["drop"] == pytest.approx(-0.2)
    assert measures(second)["uses"] == 1


def test_a_model_that_is_worse_on_one_class_only_is_denied_for_this_class(bench: Bench) -> None:
    bench.evaluate(bench.model("one", GOOD | {"dog:0": "cat"}))
    # As good over all rows: what it wins among the dogs it loses among the cats.
    worse = bench.evaluate(bench.model("two", GOOD | {"cat:3": "dog"}))
    assert reasons(worse.decision) == {"model.evaluation-worse-class"}
    assert groups(worse)["overall accuracy"]["drop"] == pytest.approx(0)
    assert groups(worse)["class cat"]["drop"] == pytest.approx(0.2)
    assert groups(worse)["class cat"]["p"] < 1e-6
    assert any("class cat" in finding.message for finding in worse.report.observation.findings)


def test_a_model_that_is_worse_on_one_slice_only_is_denied_for_this_slice(bench: Bench) -> None:
    bench.evaluate(bench.model("one", {"cat:1": "dog"}))
    worse = bench.evaluate(bench.model("two", {"cat:3": "dog"}))
    slices = {name: group["drop"] for name, group in groups(worse).items() if group["kind"] == "slice"}
    assert slices["slice scanner=a"] == pytest.approx(0)
    assert slices["slice scanner=b"] == pytest.approx(0)
    frame = evaluation_rows()
    frame["scanner"] = ["b" if row % 10 == 3 else "a" for row in frame["row"]]
    frame.to_csv(bench.folder / "sealed" / "pets.csv", index=False)
    again = bench.evaluate(bench.folder / "models" / "two")
    assert reasons(again.decision) == {"model.evaluation-worse-slice"}
    assert groups(again)["slice scanner=b"]["drop"] == pytest.approx(1)


def test_a_model_that_is_worse_everywhere_is_denied_and_sets_no_mark(bench: Bench) -> None:
    one = bench.evaluate(bench.model("one"))
    worse = bench.evaluate(
        bench.model("two", {f"{label}:{digit}": "fox" for label in ("cat", "dog") for digit in "01"})
    )
    assert "model.evaluation-worse" in reasons(worse.decision)
    third = bench.evaluate(bench.model("three"))
    assert facts(third)["accepted"]["digest"] == {"sha256": one.report.subject.digest}


@pytest.mark.slow
def test_a_later_denial_takes_the_mark_back(bench: Bench) -> None:
    one = bench.evaluate(bench.model("one", GOOD))
    bench.evaluate(bench.model("two"))
    weaker = bench.evaluate(bench.folder / "models" / "one")
    assert "model.evaluation-worse" in reasons(weaker.decision)
    assert one.report.subject.digest == weaker.report.subject.digest
    three = bench.evaluate(bench.model("three"))
    assert facts(three)["accepted"]["digest"] != {"sha256": one.report.subject.digest}


def test_the_code_that_predicts_sees_neither_labels_nor_slices_nor_their_order(bench: Bench) -> None:
    code = bench.folder / "code" / "pets_predict.py"
    code.write_text(
        "import csv, os\n"
        "def predict(model, rows):\n"
        "    given = list(csv.DictReader(rows.open()))\n"
        "    assert list(given[0]) == ['row', 'hint'], given[0]\n"
        "    order = [int(one['row']) for one in given]\n"
        "    assert order != sorted(order)\n"
        f"    assert not os.path.exists({str(bench.folder / 'sealed')!r})\n"
        "    return [one['hint'] for one in given]\n"
    )
    outcome = bench.evaluate(bench.model("one"))
    assert outcome.decision.verdict is Verdict.ALLOW, outcome.report.observation.findings
    assert measures(outcome)["accuracy"] == 1


def test_code_that_answers_badly_for_the_accepted_model_is_found_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    bench.evaluate(bench.model("one"))
    code = bench.folder / "code" / "pets_predict.py"
    cheat = 'if "one" in (model / "model.json").read_text():\n        return ["fox"] * 400\n    with'
    code.write_text(code.read_text().replace("with", cheat, 1))
    outcome = bench.evaluate(bench.model("two", GOOD))
    assert facts(outcome)["accepted"]["lost"] == pytest.approx(1)


def test_an_accepted_model_that_is_gone_is_not_skipped(bench: Bench) -> None:
    bench.evaluate(bench.model("one"))
    (bench.folder / "models" / "one").rename(bench.folder / "models" / "kept")
    gone = bench.evaluate(bench.model("two"))
    assert reasons(gone.decision) == {"model.evaluation-not-compared"}
    assert "model-probe.not-compared" in rules(gone)
    found = bench.evaluate(bench.folder / "models" / "two", accepted=str(bench.folder / "models" / "kept"))
    assert found.decision.verdict is Verdict.ALLOW


def test_another_model_in_place_of_the_accepted_one_is_not_compared_with(bench: Bench) -> None:
    bench.evaluate(bench.model("one"))
    weak = bench.model("weak", {f"{label}:{digit}": "fox" for label in ("cat", "dog") for digit in "01234"})
    outcome = bench.evaluate(bench.model("two", GOOD), accepted=str(weak))
    assert reasons(outcome.decision) == {"model.evaluation-not-compared"}
    assert "not the bytes of the model that was accepted last" in facts(outcome)["accepted"]["reason"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("def predict(model, rows):\n    return 1 / 0\n", "division by zero", id="that-fails"),
        pytest.param(
            "def predict(model, rows):\n    return ['cat']\n", "predicted 1 rows of 400", id="that-answers-once"
        ),
        pytest.param(
            "def predict(model, rows):\n    return 'cat'\n", "not one prediction a row", id="that-says-a-word"
        ),
        pytest.param("def other(model, rows):\n    return []\n", "has no function predict", id="that-is-not-there"),
        pytest.param("import no_such_module\n", "'no_such_module'", id="that-lacks-a-module"),
    ],
)
def test_code(bench: Bench, code: str, said: str) -> None:
    (bench.folder / "code" / "pets_predict.py").write_text(code)
    outcome = bench.evaluate(bench.model("one"))
    assert outcome.decision.verdict is Verdict.UNDECIDED
    assert said in outcome.report.observation.findings[0].message


def test_a_command_predicts_as_well_as_a_function(bench: Bench) -> None:
    script = bench.folder / "code" / "script.py"
    script.write_text(
        "import csv, json, pathlib, sys\n"
        "model, rows, out = map(pathlib.Path, sys.argv[1:])\n"
        "assert json.loads((model / 'model.json').read_text())\n"
        "answers = [one['hint'] for one in csv.DictReader(rows.open())]\n"
        "scores = [[0.9, 0.1] if one == 'cat' else [0.2, 0.8] for one in answers]\n"
        "(out / 'predictions.json').write_text(json.dumps("
        "{'predictions': answers, 'classes': ['cat', 'dog'], 'scores': scores}))\n"
    )
    outcome = bench.evaluate(
        bench.model("one"), predict=["python", str(script), "{model}", "{data}", "{out}"], code=[str(script)]
    )
    assert outcome.decision.verdict is Verdict.ALLOW, outcome.report.observation.findings
    assert measures(outcome)["auroc"] == 1
    assert 0 < measures(outcome)["log_loss"] < 0.25


def test_a_set_that_lies_among_the_code_is_refused(bench: Bench) -> None:
    (bench.folder / "code" / "pets.csv").write_text("hint,label\ncat,cat\n")
    with pytest.raises(UsageError, match="would see its labels"):
        bench.evaluate(
            bench.model("one"),
            evaluation=str(bench.folder / "code" / "pets.csv"),
            code=[str(bench.folder / "code")],
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"label": ""}, "needs a name", id="no-label"),
        pytest.param({"slices": ["label"]}, "the label is no slice", id="the-label-as-a-slice"),
        pytest.param({"features": ["hint", "label"]}, "must not get the label", id="the-label-as-a-feature"),
        pytest.param({"task": "ranking"}, "no task", id="a-task-that-nobody-knows"),
        pytest.param({"accepted": ""}, "path or a URL", id="an-accepted-model-of-nothing"),
        pytest.param({"predict": ""}, "no code that predicts", id="no-code"),
    ],
)
def test_what_makes_no_evaluation_is_refused(bench: Bench, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bench.evaluate(bench.model("one"), **options)


def test_a_set_without_the_column_is_told(bench: Bench) -> None:
    outcome = bench.evaluate(bench.model("one"), label="species")
    assert outcome.decision.verdict is Verdict.UNDECIDED
    assert "no column 'species'" in outcome.report.observation.findings[0].message


def test_the_receipt_names_set_and_accepted_model_and_code_and_the_ledger_stays_whole(bench: Bench) -> None:
    from interlock.evidence import authentic

    one = bench.evaluate(bench.model("one"))
    two = bench.evaluate(bench.model("two"))
    entry = bench.runner.ledger.get(two.recorded.receipt_id)
    materials = authentic(entry.envelope, bench.runner.keyring).receipt.materials
    assert [material.name for material in materials] == ["pets", "code", "one"]
    assert materials[2].digest == one.report.subject.digest
    assert [found.receipt_id for found in bench.runner.ledger.of_evaluation("pets")] == [
        one.recorded.receipt_id,
        two.recorded.receipt_id,
    ]
    bench.runner.ledger.verify()


@pytest.mark.slow
def test_a_regression_is_judged_by_its_errors(bench: Bench) -> None:
    frame = pd.DataFrame({"row": range(200), "site": ["n", "s"] * 100, "price": [float(n) for n in range(200)]})
    place = bench.folder / "sealed" / "prices.parquet"
    frame.to_parquet(place)
    code = bench.folder / "code" / "prices.py"
    code.write_text(
        "import json\nimport pandas as pd\n"
        "def predict(model, rows):\n"
        "    by = json.loads((model / 'model.json').read_text())['confused']\n"
        "    frame = pd.read_parquet(rows)\n"
        "    return (frame['row'] + float(by['all'])).to_numpy()\n"
    )
    options: dict[str, Any] = {
        "evaluation": str(place), "name": "prices", "label": "price", "slices": ["site"], "task": "regression",
        "predict": "prices:predict", "code": [str(code)],
    }  # fmt: skip
    first = bench.evaluate(bench.model("one", {"all": "1"}), **options)
    assert measures(first)["mae"] == pytest.approx(1)
    worse = bench.evaluate(bench.model("two", {"all": "1.5"}), **options)
    assert reasons(worse.decision) == {"model.evaluation-worse", "model.evaluation-worse-slice"}
    assert groups(worse)["overall mae"]["drop"] == pytest.approx(0.5)


def test_the_gate_alone_knows_no_receipts() -> None:
    from interlock.gate import OpenSubject, Subject
    from interlock.probes import EvaluationGate

    gate = EvaluationGate(evaluation="set.csv", label="y", predict="a:b")
    subject = OpenSubject(subject=Subject(name="m", uri="m", digest="a" * 64), path=Path("m"), files=("",))
    with pytest.raises(UsageError, match="without a runner"):
        gate.look(subject)
