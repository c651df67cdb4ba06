"""Every component really run, and a pipeline of them under kfp.local's SubprocessRunner."""

import json
import random
from pathlib import Path

import pytest
from kfp import components, dsl, local
from kfp.dsl import Input, Model, Output
from tests.kubeflow.running_steps import Ran, run_step

from interlock.gate import DeniedError, Settings
from interlock.kubeflow import scan_model
from interlock.kubeflow.code import embedded
from interlock.kubeflow.published import write_components

pytestmark = pytest.mark.slow

SUITE = {"name": "s", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}]}
TRAIN = """
import json, os, pathlib, sys
header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
header += b" " * (-len(header) % 8)
data, out = map(pathlib.Path, sys.argv[1:])
rows = sum(len(file.read_text().splitlines()) - 1 for file in data.iterdir())
(out / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(range(16)))
print(f"trained on {rows} rows")
"""


@pytest.fixture
def data(tmp_path: Path, home: Path) -> Path:
    drawn = random.Random(1)
    rows = [f"{drawn.gauss(i % 2 * 4, 1):.3f},{drawn.gauss(-(i % 2) * 4, 1):.3f},{i % 2}" for i in range(400)]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "rows.csv").write_text("\n".join(["a,b,label", *rows, ""]))
    return folder


def validated(data: Path, root: Path, min_rows: float) -> Ran:
    options = {"suite_json": json.dumps(SUITE), "min_rows": min_rows, "required": [], "file_format": "auto"}
    return run_step("validate_data", root, options=options, artifacts={"subject": data})


def test_data_goes_through_every_component_to_the_registry(data: Path, tmp_path: Path) -> None:
    valid = validated(data, tmp_path / "validate", 100.0)
    clean = run_step("scan_poisoning", tmp_path / "poisoning", options={"label": "label"}, artifacts={"subject": data})
    (tmp_path / "train.py").write_text(TRAIN)
    options = {
        "command": ["python", "train.py", "{data}", "{out}"],
        "code": embedded(["train.py"], folder=tmp_path),
        "image_code": [],
        "requires": ["data-validation", "data-poisoning"],
        "wall_clock": 300.0,
    }
    receipts = {"interlock_receipt_1": valid.root / "receipt", "interlock_receipt_2": clean.root / "receipt"}
    train = run_step(
        "secure_train",
        tmp_path / "train",
        options=options,
        artifacts={"data": data, **receipts},
        outputs=("model", "receipt", "report"),
    )
    model = train.root / "model"
    scan = run_step(
        "scan_model", tmp_path / "scan", options={"profile": "torch-state-dict"}, artifacts={"subject": model}
    )
    receipts = {"interlock_receipt_1": scan.root / "receipt", "interlock_receipt_2": train.root / "receipt"}
    deploy = run_step(
        "deploy_gate",
        tmp_path / "deploy",
        options={"requires": ["artifact-scan", "training"]},
        artifacts={"model": model, **receipts},
        parameters={"to": "registry://digits/champion", "declared": {"author": "me"}},
    )
    assert [step.error for step in (valid, clean, train, scan, deploy)] == [None] * 5
    assert train.metadata("model") == {"digest": scan.metadata("receipt")["digest"]}
    alias = json.loads((Path(Settings.load().registry) / "digits" / "aliases" / "champion.json").read_text())
    assert alias["digest"] in scan.metadata("receipt")["digest"]


def test_too_few_rows_are_denied_whatever_the_suite_says(data: Path, tmp_path: Path) -> None:
    refused = validated(data, tmp_path / "validate", 401.0)
    assert isinstance(refused.error, DeniedError)
    assert "400" in (refused.root / "report").read_text()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def hostile(model: Output[Model]) -> None:
    with open(model.path, "wb") as file:  # noqa: PTH123 (its source stands alone in the pipeline)
        file.write(b"cos\nsystem\n(S'true'\ntR.")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def after(model: Input[Model], ran: Output[Model]) -> None:
    with open(ran.path, "w") as file:  # noqa: PTH123
        file.write(model.path)


def test_a_refused_gate_stops_the_pipeline_and_leaves_its_receipt(tmp_path: Path, home: Path) -> None:
    @dsl.pipeline(name="refused")
    def refused() -> None:
        made = hostile()
        gate = scan_model(subject=made.outputs["model"])
        after(model=made.outputs["model"]).after(gate)

    root = tmp_path / "root"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    with pytest.raises(RuntimeError, match="scan-model"):
        refused()
    assert len(list(root.glob("*/scan-model/receipt"))) == 1
    assert "DENY" in next(root.glob("*/scan-model/report")).read_text()
    assert not list(root.glob("*/after/*"))


def test_a_component_loaded_from_its_file_runs(tmp_path: Path, home: Path) -> None:
    (tmp_path / "lake.csv").write_text("a,b\n1,2\n")
    write_components(tmp_path / "components", "registry.example/interlock-python@sha256:" + "a" * 64)
    loaded = components.load_component_from_file(str(tmp_path / "components" / "snapshot.yaml"))

    @dsl.pipeline(name="loaded")
    def taken(uri: str) -> None:
        loaded(
            uri=uri,
            options={"digest": ""},
            interlock_pipeline=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            interlock_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            interlock_task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
        ).set_caching_options(enable_caching=False)

    root = tmp_path / "root"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    taken(uri=str(tmp_path / "lake.csv"))
    assert next(root.glob("*/snapshot/data")).read_bytes() == (tmp_path / "lake.csv").read_bytes()
