"""Retraining with every gate on the way: the example that `make demo-kubeflow` runs three times.

The pipeline is ordinary: collect, validate, scan, train, scan the model, promote. What Interlock adds is that the
training and the promotion open their guard on receipts for exactly the bytes they are about to use, so the order of the
tasks is not what protects them. Run it with the parameter `scenario` as ``clean``, ``poisoned`` or ``tampered``.

    python gated_retraining.py pipeline.yaml     # compiles; refused if a protected step is not gated

The data, the training script and the intruder are those of the Airflow example; compiling embeds what a step needs.
"""

# No `from __future__ import annotations`: kfp reads the annotations of components when the file is loaded.

import sys
from pathlib import Path

from kfp import compiler, dsl

from interlock.kubeflow import deploy_gate, pipeline, scan_model, scan_poisoning, secure_train, validate_data
from interlock.kubeflow.images import gate_image

DIGITS = Path(__file__).parent.parent / "airflow"
SCENARIOS = str(DIGITS / "scenarios.py")


@dsl.component(base_image=gate_image(), install_kfp_package=False, embedded_artifact_path=SCENARIOS)
def collect(scenario: str, data: dsl.Output[dsl.Dataset]) -> None:
    """Gather the new data; in the scenario `poisoned`, somebody upstream has slipped a backdoor into it."""
    from pathlib import Path

    from scenarios import collect_digits  # type: ignore[import-not-found]  # kfp embeds it

    data.path += ".parquet"
    collect_digits(Path(data.path), poisoned=scenario == "poisoned")


@dsl.component(base_image=gate_image(), install_kfp_package=False, embedded_artifact_path=SCENARIOS)
def others(scenario: str, model: dsl.Input[dsl.Model]) -> str:
    """Stands for whoever else can write to the bucket; in `tampered`, they swap the weights after the scan.

    It says what it did: a step that takes a model and gives nothing back is one that deploys it, and must be gated.
    """
    from pathlib import Path

    from scenarios import swap_model

    if scenario != "tampered":
        return "nothing"
    swap_model(Path(model.path) / "model.safetensors")
    return "swapped the weights"


@pipeline(name="gated-retraining", description=__doc__)
def gated_retraining(scenario: str = "clean") -> None:
    """Build the pipeline."""
    data = collect(scenario=scenario).outputs["data"]
    validate = validate_data(subject=data, suite=DIGITS / "suites" / "digits.json", min_rows=1000)
    # No wire needs this order. A table of another form is not worth a scan, and kfp.local ends at the first failure.
    poisoning = scan_poisoning(subject=data, label="label", image_shape=(8, 8)).after(validate)
    train = secure_train(
        data=data,
        command=["python", "train_digits.py", "--data", "{data}", "--out", "{out}"],
        code=[DIGITS / "train_digits.py"],
        requires=[validate, poisoning],
    )
    scan = scan_model(subject=train.outputs["model"])
    intruder = others(scenario=scenario, model=train.outputs["model"]).after(scan)
    promote = deploy_gate(model=train.outputs["model"], to="registry://digits/champion", requires=[scan, train])
    promote.after(intruder)


if __name__ == "__main__":
    compiler.Compiler().compile(gated_retraining, sys.argv[1])
