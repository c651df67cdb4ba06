"""What a deployment guard tells policy of the data, the code and the image behind a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.pool import NullPool
from tests.evidence.bench import RUN, Bench, decision, new_signer, report

from interlock.evidence.ledger_tables import REPORTS
from interlock.gate import GateContext, GuardError, Json, Recorded, Subject, Verdict

IMAGE = f"registry.example/serve@sha256:{'c' * 64}"


def trained(bench: Bench, data: Subject, *code: Subject) -> Path:
    """A model with a training receipt that names its data, as `interlock.training.TrainingGate` configures it."""
    model = bench.data("model", "weights")
    subject = bench.subject(model)
    configured = replace(
        report(subject, "training"), configuration=json.dumps({"data": {"digest": data.digest}, "command": []})
    )
    context = GateContext(run=replace(RUN, task_id="train"), profile="standard")
    bench.recorder().record(configured, decision(), context, materials=(data, *code))
    return model


def lineage(bench: Bench, model: Path, requested: dict[str, Json] | None = None) -> list[dict[str, Any]]:
    context = GateContext(run=RUN, profile="standard")
    guard = bench.guard()
    with guard.open(str(model), kind="deployment", requires=["training"], context=context, requested=requested):
        pass
    found: Any = bench.decider.asked[-1]["lineage"]
    return list(found)


def gates(material: dict[str, Any]) -> list[str]:
    return [receipt["gate"] for receipt in material["receipts"]]


def test_the_data_comes_with_the_receipts_that_count_for_it(bench: Bench) -> None:
    data = bench.subject(bench.data())
    bench.receipt(data, "data-validation")
    bench.receipt(data, "data-poisoning", Verdict.DENY)
    [material] = lineage(bench, trained(bench, data))
    assert material["role"] == "data"
    assert material["subject"]["digest"] == {"sha256": data.digest}
    assert [(one["gate"], one["verdict"]) for one in material["receipts"]] == [
        ("data-validation", "ALLOW"),
        ("data-poisoning", "DENY"),
    ]


def test_code_is_told_from_data_by_the_signed_report(bench: Bench) -> None:
    data, code = bench.subject(bench.data()), bench.subject(bench.data("code", "print()"))
    assert {m["role"]: m["subject"]["digest"]["sha256"] for m in lineage(bench, trained(bench, data, code))} == {
        "data": data.digest,
        "code": code.digest,
    }


def test_the_image_that_is_asked_for_is_a_material(bench: Bench) -> None:
    data = bench.subject(bench.data())
    image = Subject(name="registry.example/serve", uri=IMAGE, digest="c" * 64)
    bench.receipt(image, "artifact-scan")
    found = lineage(bench, trained(bench, data), {"image": IMAGE})
    assert [(m["role"], gates(m)) for m in found] == [("data", []), ("image", ["artifact-scan"])]


def test_every_image_of_a_pod_is_a_material(bench: Bench) -> None:
    data = bench.subject(bench.data())
    images: dict[str, Json] = {"image": IMAGE, "images": [IMAGE, f"proxy@sha256:{'d' * 64}", "proxy:latest", 7]}
    found = lineage(bench, trained(bench, data), images)
    assert [(m["role"], m["subject"]["name"]) for m in found[1:]] == [
        ("image", "registry.example/serve"),
        ("image", "proxy"),
    ]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("registry.example/serve:latest", id="tag"),
        pytest.param(f"registry.example/serve@sha256:{'c' * 63}", id="short digest"),
        pytest.param(f"registry.example/serve@sha256:{'C' * 64}", id="capitals"),
        pytest.param(f"a b@sha256:{'c' * 64}", id="space"),
        pytest.param(7, id="number"),
        pytest.param(None, id="null"),
    ],
)
def test_an_image_without_a_digest_is_no_material(bench: Bench, image: Json) -> None:
    data = bench.subject(bench.data())
    assert [m["role"] for m in lineage(bench, trained(bench, data), {"image": image})] == ["data"]


def test_a_forged_receipt_for_the_data_is_not_shown(bench: Bench) -> None:
    data = bench.subject(bench.data())
    bench.receipt(data, "data-validation", signer=new_signer())
    [material] = lineage(bench, trained(bench, data))
    assert material["receipts"] == []


def test_a_training_guard_has_no_lineage(bench: Bench) -> None:
    data = bench.data()
    bench.receipt(bench.subject(data), "data-validation")
    context = GateContext(run=RUN, profile="standard")
    with bench.guard().open(str(data), kind="training", requires=["data-validation"], context=context):
        pass
    assert bench.decider.asked[-1]["lineage"] == []


def test_a_report_that_was_altered_shuts_the_guard(bench: Bench) -> None:
    data = bench.subject(bench.data())
    model = trained(bench, data)
    engine = create_engine(f"sqlite:///{bench.folder / 'ledger.db'}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER interlock_reports_no_UPDATE"))
        connection.execute(update(REPORTS).values(document=json.dumps({"configuration": {"data": {"digest": "0"}}})))
    with pytest.raises(GuardError, match="evidence is damaged"):
        lineage(bench, model)


def test_receipts_of_other_materials_do_not_open_the_guard(bench: Bench) -> None:
    data = bench.subject(bench.data())
    recorded: Recorded = bench.receipt(data, "artifact-scan")
    model = trained(bench, data)
    context = GateContext(run=RUN, profile="standard")
    with (
        pytest.raises(GuardError, match="no artifact-scan receipt"),
        bench.guard().open(str(model), kind="deployment", requires=["artifact-scan", "training"], context=context),
    ):
        pass
    assert recorded.receipt_id in json.dumps(bench.decider.asked[-1]["lineage"])
