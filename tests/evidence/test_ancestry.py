"""Back from a model to what it was made from, and what each part's receipts are worth now."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.evidence.bench import RUN, Bench, decision, new_signer, report

from interlock.evidence.ancestry import Ancestor, Worth, trace
from interlock.gate import GateContext, Subject, Verdict


def trained(bench: Bench, name: str, data: Subject, *others: Subject) -> Subject:
    """A model with a training receipt that names its data and what else it was made from."""
    subject = bench.subject(bench.data(name, f"weights of {name}"))
    configured = replace(report(subject, "training"), configuration=json.dumps({"data": {"digest": data.digest}}))
    context = GateContext(run=replace(RUN, task_id="train"), profile="standard")
    bench.recorder().record(configured, decision(), context, materials=(data, *others))
    return subject


def walk(bench: Bench, model: Subject) -> Ancestor:
    return trace(model, bench.ledger, bench.keyring, now=bench.clock())


def told(ancestor: Ancestor) -> list[tuple[int, str, str, str]]:
    return [(depth, one.role, one.subject.name, one.worth.value) for depth, one in ancestor.all()]


def test_a_model_is_walked_back_to_its_data_and_code_and_over_its_base_to_the_base_s_data(bench: Bench) -> None:
    old, new = bench.subject(bench.data("old")), bench.subject(bench.data("new", "rows"))
    code = bench.subject(bench.data("code", "print()"))
    for data in (old, new):
        bench.receipt(data, "data-validation")
    base = trained(bench, "base", old)
    model = trained(bench, "model", new, code, base)
    assert told(walk(bench, model)) == [
        (0, "subject", "model", "valid"),
        (1, "data", "new", "valid"),
        (1, "code", "code", "named only"),
        (1, "base model", "base", "valid"),
        (2, "data", "old", "valid"),
    ]


def test_each_state_of_the_data_is_told_from_the_others(bench: Bench) -> None:
    data = bench.subject(bench.data())
    model = trained(bench, "model", data)

    def worth() -> Worth:
        return walk(bench, model).made_from[0].worth

    assert worth() is Worth.MISSING
    bench.receipt(data, "data-validation", signer=new_signer())
    assert worth() is Worth.UNTRUSTED
    bench.receipt(data, "data-validation")
    assert worth() is Worth.VALID
    bench.receipt(data, "data-poisoning", Verdict.UNDECIDED)
    assert worth() is Worth.UNDECIDED
    bench.receipt(data, "data-poisoning", Verdict.DENY)
    assert worth() is Worth.REFUSED
    bench.receipt(data, "data-poisoning")
    assert worth() is Worth.VALID
    bench.clock.now += timedelta(days=2)
    assert worth() is Worth.EXPIRED


def test_an_expired_training_receipt_still_says_where_the_model_comes_from(bench: Bench) -> None:
    model = trained(bench, "model", bench.subject(bench.data()))
    bench.clock.now += timedelta(days=2)
    found = walk(bench, model)
    assert found.worth is Worth.EXPIRED
    assert [one.role for one in found.made_from] == ["data"]


def test_models_that_name_each_other_end_somewhere(bench: Bench) -> None:
    one = bench.subject(bench.data("one", "weights of one"))
    other = trained(bench, "other", one)
    trained(bench, "one", other)
    assert max(depth for depth, _ in walk(bench, one).all()) == 2


def test_a_model_that_nobody_trained_here_has_nothing_behind_it(bench: Bench) -> None:
    found = walk(bench, bench.subject(bench.data("model", "x")))
    assert (found.worth, found.made_from) == (Worth.MISSING, ())


@pytest.mark.parametrize("field", ["role", "subject", "state", "receipts", "made_from"])
def test_the_tree_is_json(bench: Bench, field: str) -> None:
    document = walk(bench, trained(bench, "model", bench.subject(bench.data()))).document()
    assert field in json.loads(json.dumps(document))
