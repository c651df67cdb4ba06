"""The example of a promotion in real task runs: the first model, and the next one beside it."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dags_examples.airflow.seal_digits import sealed_rows, write
from tests.airflow.runs import QUIET, RunDag, verdicts

from interlock.training import BwrapSandbox

if TYPE_CHECKING:
    from airflow.sdk import DAG

pytestmark = [*QUIET, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "dags_examples" / "airflow"


def example(monkeypatch: pytest.MonkeyPatch, lake: Path) -> DAG:
    """The DAG of the file, as Airflow finds it."""
    monkeypatch.setenv("INTERLOCK_EXAMPLE_LAKE", str(lake))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    spec = util.spec_from_file_location("gated_promotion_example", EXAMPLES / "gated_promotion.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    dag: DAG = module.gated_promotion()
    return dag


def test_the_example_promotes_a_first_model_and_one_that_is_no_worse(
    run_dag: RunDag, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = BwrapSandbox().probe()
    if not found.available:
        pytest.skip(f"bubblewrap does not work here: {found.reason}. To get it: {found.how_to_get}")
    write(sealed_rows(), tmp_path / "lake" / "sealed" / "digits.parquet")
    for _ in range(2):
        states = run_dag(example(monkeypatch, tmp_path / "lake"))
        assert set(states.values()) == {"success"}, states
    assert verdicts()["evaluate"] == "ALLOW"
    assert verdicts()["promote"] == "ALLOW"
