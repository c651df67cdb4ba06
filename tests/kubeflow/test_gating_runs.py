"""Gated pipelines that really run, under kfp's subprocess runner: the protected step writes a file, or it never ran.

The receipts are recorded by the deployment that the steps use, for exactly the bytes that `collect` makes, and come in
by importers that somebody wired past `gated()`. So each run has real evidence or a fault of its own; one run has real
gates. kfp reads annotations when it runs, so there is no ``from __future__ import annotations`` here.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local
from kfp.dsl import Artifact, Dataset, Input, Model, Output
from tests.evidence.bench import new_signer, signed, statement_in
from tests.kubeflow.pods import Pod

from interlock.gate import Settings
from interlock.kubeflow import gated, pipeline, scan_poisoning, validate_data
from interlock.runner import LocalRunner

pytestmark = pytest.mark.slow

SUITE: dict[str, Any] = {"name": "s", "expectations": []}

_component = dsl.component(base_image="python:3.11", install_kfp_package=False)


@_component
def collect(source: str, data: Output[Dataset]) -> None:
    import shutil

    shutil.copyfile(source, data.path)


@_component
def spoil(data: Input[Dataset]) -> None:
    from pathlib import Path

    Path(data.path).write_text(Path(data.path).read_text() + "poison")


@_component
def train(data: Input[Dataset], trained: str, model: Output[Model]) -> None:
    from pathlib import Path

    Path(trained).write_text(Path(data.path).read_text())
    Path(model.path).write_text("weights")


@pytest.fixture
def pod(home: Path, tmp_path: Path) -> Iterator[Pod]:
    """Data of a deployment that the environment names."""
    with LocalRunner(Settings.load()) as runner:
        yield Pod(runner, tmp_path / "pod")


@_component
def collect_table(data: Output[Dataset]) -> None:
    from pathlib import Path

    Path(data.path).mkdir()
    rows = [f"{n % 17},{(n * 7) % 23},{n % 2}" for n in range(400)]
    (Path(data.path) / "train.csv").write_text("\n".join(["a,b,label", *rows]))


@_component
def train_on_table(data: Input[Dataset], trained: str) -> None:
    from pathlib import Path

    Path(trained).write_text(f"{data.path}\n{len(list(Path(data.path).iterdir()))}")


def test_the_three_lines_run_with_real_gates(home: Path, tmp_path: Path) -> None:
    suite = {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "label"}}]}
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "run"), raise_on_error=True)

    @pipeline(name="retrain")
    def retrain() -> None:
        data = collect_table().outputs["data"]
        checks = [validate_data(subject=data, suite=suite), scan_poisoning(subject=data, label="label")]
        gated(train_on_table(data=data, trained=str(tmp_path / "trained")), checks)

    retrain()
    place, number = (tmp_path / "trained").read_text().split("\n")
    assert place.startswith(str(home / "store"))
    assert number == "1"


def ran(pod: Pod, *, spoiled: bool = False) -> bool:
    """Whether the pipeline ran to its end."""
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(pod.root / "run"), raise_on_error=False)

    @dsl.pipeline(name="retrain")
    def retrain() -> None:
        data = collect(source=str(pod.data)).outputs["data"]
        checks = [validate_data(subject=data, suite=SUITE), scan_poisoning(subject=data, label="a")]
        task = gated(train(data=data, trained=str(pod.trained)), checks)
        claimed = {"verdict": "ALLOW", "gate": "data-validation"}
        imported = [
            dsl.importer(artifact_uri=str(pod.root / name), artifact_class=Artifact, metadata=claimed)
            for name in pod.receipts
        ]
        for name, one in zip(pod.receipts, imported, strict=True):
            task.inputs[name] = one.output
        task._channel_inputs[:] = [data, *(one.output for one in imported)]
        for check in checks:
            pipeline_of(check).tasks.pop(check.name)
            pipeline_of(check).remove_task_from_groups(check)
        if spoiled:
            task.after(spoil(data=data))

    retrain()
    return pod.trained.exists()


def pipeline_of(task: Any) -> Any:
    return task.outputs["receipt"].pipeline


def test_the_protected_step_runs_on_real_evidence(pod: Pod) -> None:
    pod.pass_gates()
    assert ran(pod)
    assert pod.trained.read_text() == pod.data.read_text()


def receipts_for_other_bytes(pod: Pod) -> None:
    pod.pass_gates()
    pod.data.write_text("a,b\n3,4\n")


def forged_receipt(pod: Pod) -> None:
    pod.pass_gates()
    file = pod.root / pod.receipts[0]
    file.write_text(signed(statement_in(file.read_text()), new_signer()))


def one_gates_receipt_for_two(pod: Pod) -> None:
    pod.pass_gates()
    first, second = (pod.root / name for name in pod.receipts)
    shutil.copyfile(first, second)


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (receipts_for_other_bytes, "speaks for other bytes"),
        (forged_receipt, "no trusted key signed it"),
        (one_gates_receipt_for_two, "there are two receipts of data-validation"),
    ],
)
def test_what_is_imported_in_place_of_a_gate_opens_nothing(
    pod: Pod, attack: Callable[[Pod], None], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(pod)
    assert not ran(pod)
    assert told in capsys.readouterr().out


def test_bytes_that_change_between_gate_and_guard_are_not_trained_on(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    pod.pass_gates()
    assert not ran(pod, spoiled=True)
    assert "speaks for other bytes" in capsys.readouterr().out
