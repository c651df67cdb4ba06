"""Components of a user's own, for pipelines that tests run under `kfp.local`; and how a test compiles and runs them.

kfp copies the source of each into the pipeline and reads the annotations when this is loaded, so there is no
``from __future__ import annotations`` here.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from kfp import compiler, dsl
from tests.evidence.bench import decision, report

from interlock.evidence import Receipt as Evidence
from interlock.gate import GateContext, RunIdentity, Settings, Stage, Verdict
from interlock.kubeflow import Receipt
from interlock.kubeflow.local_run import RunEnd, run_locally
from interlock.runner import GateRequest, LocalRunner

KINDS = ("data-validation", "data-poisoning")
ROWS = "a,b,label\n" + "".join(f"{n % 17},{(n * 7) % 23},{n % 2}\n" for n in range(400))
"""A small table that the gates let pass."""

SUITE = {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "label"}}]}

_plain = dsl.component(base_image="example.org/python@sha256:" + "1" * 64, install_kfp_package=False)


@_plain
def bring(source: str, data: dsl.Output[dsl.Dataset]) -> None:
    """Copies a file into the pipeline."""
    import shutil

    data.path += ".csv"
    shutil.copyfile(source, data.path)


@_plain
def train(mark: str, data: dsl.Input[dsl.Dataset]) -> None:
    """Writes what it was given into the file `mark`: while that is not there, it has not begun."""
    from pathlib import Path

    Path(mark).write_text(Path(data.path).read_text())


@_plain
def forge(text: str, about: dict, receipt: dsl.Output[Receipt]) -> None:  # type: ignore[type-arg]  # kfp's spelling
    """Says that it is a gate: writes any text as its receipt, and any metadata."""
    from pathlib import Path

    Path(receipt.path).write_text(text)
    receipt.metadata.update(about)


@_plain
def spoil(content: str, receipt: dsl.Input[dsl.Artifact]) -> None:
    """Overwrites an artifact that another step made; removes it without content."""
    from pathlib import Path

    if content:
        Path(receipt.path).write_text(content)
    else:
        Path(receipt.path).unlink()


@_plain
def opinion(data: dsl.Input[dsl.Dataset]) -> NamedTuple("Opinion", [("verdict", str)]):  # type: ignore[valid-type]
    """Somebody's own check, with a named output."""
    from collections import namedtuple

    return namedtuple("Opinion", ["verdict"])("pass")


def ir_of(pipeline: Any, folder: Path) -> dict[str, Any]:
    """The compiled pipeline, for a test to change."""
    file = folder / "compiled.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    document: dict[str, Any] = next(iter(yaml.safe_load_all(file.read_text())))
    return document


def run_ir(
    document: Mapping[str, Any], folder: Path, arguments: Mapping[str, Any], environment: Mapping[str, str]
) -> RunEnd:
    """Run a compiled pipeline in a folder of its own."""
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump(dict(document)))
    return run_locally(file, folder / "run", arguments, environment=environment)


def deployment(folder: Path) -> dict[str, str]:
    """The environment of a deployment of its own; nothing of whoever runs the tests reaches it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    return kept | {"INTERLOCK_HOME": str(folder / "interlock"), "INTERLOCK_PROFILE": "dev", "HOME": str(folder)}


def pass_gates(data: Path, environment: Mapping[str, str]) -> None:
    """Let the real gates look at a file, in this process, and record what they say."""
    options: dict[str, dict[str, Any]] = {"data-validation": {"suite": SUITE}, "data-poisoning": {"label": "label"}}
    with LocalRunner(Settings.load(environment)) as runner:
        for kind in KINDS:
            run = RunIdentity(orchestrator="test", pipeline="before", run_id="before", task_id=kind)
            outcome = runner.run_gate(GateRequest(kind=kind, subject=str(data), options=options[kind], run=run))
            assert outcome.decision.verdict is Verdict.ALLOW, outcome.decision


def say_allowed(kind: str, data: Path, environment: Mapping[str, str]) -> None:
    """Sign and record a receipt of a gate that nobody ran."""
    with LocalRunner(Settings.load(environment)) as runner, runner.store.open(str(data)) as opened:
        run = RunIdentity(orchestrator="test", pipeline="before", run_id="before", task_id=kind)
        told = decision(Verdict.ALLOW, bundle=runner.decider.bundle_digest)
        runner.recorder.record(report(opened.subject, kind), told, GateContext(run=run, profile="dev"))


def recorded(environment: Mapping[str, str]) -> list[tuple[Evidence, str]]:
    """All receipts of the ledger with their envelopes, oldest first."""
    from interlock.evidence import KeyRing, Ledger, authentic

    settings = Settings.load(environment)
    ring = KeyRing.load(settings)
    entries = reversed(Ledger.open(settings.ledger_url).entries())
    return [(authentic(entry.envelope, ring).receipt, entry.envelope) for entry in entries]


def newest(kind: str, environment: Mapping[str, str]) -> Evidence:
    """The newest receipt of a gate."""
    return [said for said, _ in recorded(environment) if said.gate == kind and said.stage is Stage.GATE][-1]


def envelope_of(kind: str, environment: Mapping[str, str]) -> str:
    """Its envelope."""
    wanted = newest(kind, environment)
    return next(text for said, text in recorded(environment) if said == wanted)


def openings(pipeline: str, environment: Mapping[str, str]) -> list[str]:
    """What the guards of one pipeline said, oldest first."""
    receipts = [said for said, _ in recorded(environment) if said.stage is Stage.GUARD]
    return [said.verdict.value for said in receipts if said.run.pipeline == pipeline]


def changed(envelope: str) -> str:
    """The same receipt with one byte of its payload changed: its signature does not hold any more."""
    document = json.loads(envelope)
    first, rest = document["payload"][0], document["payload"][1:]
    return json.dumps({**document, "payload": ("B" if first != "B" else "C") + rest})
