"""Pipelines as their authors write them, compiled by kfp's own compiler, for tests of the check of compiled pipelines.

kfp reads the annotations of components when they are made, so there is no ``from __future__ import annotations`` here.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml  # type: ignore[import-untyped]
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Model, Output

from interlock.kubeflow import deploy_gate, scan_model, scan_poisoning, secure_train, validate_data

IMAGE = "registry.example/ml/python@sha256:" + "a" * 64
GATES = "registry.example/interlock-python@sha256:" + "b" * 64
SUITE = {"name": "s", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}]}
TRAIN = ["python", "train.py", "--data", "{data}", "--out", "{out}"]

component = dsl.component(base_image=IMAGE, install_kfp_package=False)


@component
def collect(data: Output[Dataset], scenario: str = "clean"):  # type: ignore[no-untyped-def]
    Path(data.path).write_text(scenario)


@component
def fit(data: Input[Dataset], model: Output[Model], epochs: int = 1):  # type: ignore[no-untyped-def]
    Path(model.path).write_text(Path(data.path).read_text() * epochs)


@component
def push(model: Input[Model]):  # type: ignore[no-untyped-def]
    print(model.path)


@component
def tell(text: str):  # type: ignore[no-untyped-def]
    print(text)


def validated(subject: Any, **more: Any) -> Any:
    return validate_data(subject=subject, suite=SUITE, image=GATES, **more)


def scanned(subject: Any) -> Any:
    return scan_poisoning(subject=subject, label="label", image=GATES)


def checks(subject: Any) -> list[Any]:
    return [validated(subject), scanned(subject)]


def trained(data: Any, requires: list[Any]) -> Any:
    return secure_train(data=data, command=TRAIN, image_code=["/app/train.py"], requires=requires, image=GATES)


def clean() -> None:
    """The whole way: two gates on the data, the training, a scan of the model, the deployment."""
    data = collect().outputs["data"]
    train = trained(data, checks(data))
    scan = scan_model(subject=train.outputs["model"], image=GATES)
    deploy_gate(model=train.outputs["model"], to="registry://digits/champion", requires=[scan, train], image=GATES)


def compiled(body: Callable[..., Any], name: str = "retrain") -> str:
    """What kfp writes of a pipeline function."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(dsl.pipeline(body, name=name), str(place))
        return place.read_text(encoding="utf-8")


def changed(text: str, change: Callable[[dict[str, Any]], None], platforms: Any = None) -> str:
    """The same pipeline after somebody edited the compiled file by hand."""
    document = yaml.safe_load(text)
    change(document)
    documents = [document] if platforms is None else [document, platforms]
    return str(yaml.safe_dump_all(documents))


def component_of(document: dict[str, Any], task: str) -> dict[str, Any]:
    """The component of a task of the outermost DAG."""
    name = document["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    found: dict[str, Any] = document["components"][name]
    return found


def container_of(document: dict[str, Any], task: str) -> dict[str, Any]:
    """What it runs."""
    label = component_of(document, task)["executorLabel"]
    found: dict[str, Any] = document["deploymentSpec"]["executors"][label]["container"]
    return found
