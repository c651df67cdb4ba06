"""Errors say what, where and what next, and survive the move between processes."""

from __future__ import annotations

import pickle

import pytest

from interlock.gate import GuardError, InterlockError, MissingExtraError, UnavailableError


def test_a_message_names_what_where_and_the_next_step() -> None:
    error = InterlockError("the column is not there", where="train.parquet, column label", next_step="name it")
    assert str(error) == "the column is not there (train.parquet, column label). Next: name it"


def test_a_missing_extra_names_the_extra() -> None:
    assert (
        str(MissingExtraError("torch", extra="torch")) == "torch is not installed. Next: pip install 'interlock[torch]'"
    )


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("the ledger is down", where="postgresql"),
        GuardError("shut", where="model", next_step="scan it", receipt_id="r1"),
        MissingExtraError("kfp", extra="kubeflow"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling(error: InterlockError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
