"""DAG files as their authors write them, honest and not, with what lint says of each."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.gate import Verdict

HEAD = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Connection, Variable, get_parsing_context, task
from interlock.airflow import (
    DeployGateOperator, ScanModelOperator, ScanPoisoningOperator, SecureTrainOperator, ValidateDataOperator, protect,
)

def validate(**other):
    return ValidateDataOperator(**{"task_id": "validate", "subject": "data", "suite": "suite.json", **other})

def poisoning(cls=ScanPoisoningOperator, **other):
    return cls(**{"task_id": "poisoning", "subject": "data", "label": "label", **other})

def train(**other):
    return SecureTrainOperator(**{"task_id": "train", "data": "data", "out": "m", "command": ["x"], **other})

"""
UNGATED = "\nwith DAG('d'):\n    validate() >> train()\n"
GATED = "\nwith DAG('d'):\n    [validate(), poisoning()] >> train()\n"


@dataclass(frozen=True)
class Case:
    """A file, the verdict over it, and the rules that it breaks."""

    source: str
    verdict: Verdict
    rules: frozenset[str]
    text: str = ""


def denied(source: str, *rules: str, text: str = "") -> Case:
    return Case(HEAD + source, Verdict.DENY, frozenset(rules), text)


def undecided(source: str, *rules: str, text: str = "") -> Case:
    return Case(HEAD + source, Verdict.UNDECIDED, frozenset(rules), text)


def allowed(source: str, *rules: str, text: str = "") -> Case:
    return Case(HEAD + source, Verdict.ALLOW, frozenset(rules), text)


TRAINING = "lint.ungated-training"

CASES = {
    "gated": allowed(GATED),
    "ordinary": allowed("with DAG('d'):\n    EmptyOperator(task_id='a', trigger_rule='all_done')\n"),
    "no-dag": allowed("x = 1\n", "lint.no-dags"),
    "dag-without-tasks": allowed("with DAG('d'): pass\n"),
    "forgotten": denied(UNGATED, TRAINING, text="there is none in front of it"),
    "gpu-queue": denied(
        "with DAG('d'):\n    BashOperator(task_id='fit', bash_command='x', queue='gpu')\n", TRAINING, text="queue 'gpu'"
    ),
    "deployment": denied(
        "with DAG('d'):\n    DeployGateOperator(task_id='promote', model='m', to='registry://a/b')\n",
        "lint.ungated-deployment",
    ),
    "other-subject": denied(
        "with DAG('d'):\n    [validate(), poisoning(subject='elsewhere')] >> train()\n",
        "lint.other-subject",
        text="looks at something else",
    ),
    "unsaid-subject": denied(
        "with DAG('d'):\n    [validate(), poisoning()] >> BashOperator(task_id='fit', bash_command='x', queue='gpu')\n",
        "lint.unsaid-subject",
    ),
    "protect-says-the-subject": allowed(
        "with DAG('d'):\n"
        "    fit = protect(BashOperator(task_id='fit', bash_command='x', queue='gpu'), subject='data')\n"
        "    [validate(), poisoning()] >> fit\n"
    ),
    "trigger-rule": denied(
        "with DAG('d'):\n    [validate(), poisoning()] >> train(trigger_rule='all_done')\n", TRAINING
    ),
    "loose-step-between": denied(
        "with DAG('d'):\n"
        "    [validate(), poisoning()] >> EmptyOperator(task_id='m', trigger_rule='all_done') >> train()\n",
        TRAINING,
    ),
    "gate-with-pre-execute": denied(
        "with DAG('d'):\n    [validate(), poisoning(pre_execute=print)] >> train()\n", TRAINING
    ),
    "gate-with-callback": denied(
        "with DAG('d'):\n    [validate(), poisoning(on_failure_callback=print)] >> train()\n", TRAINING
    ),
    "teardown": denied("with DAG('d'):\n    [validate(), poisoning()] >> train().as_teardown()\n", TRAINING),
    "execute-put-over-a-gate": denied(
        "with DAG('d'):\n"
        "    gate = poisoning()\n"
        "    object.__setattr__(gate, 'execute', lambda context: None)\n"
        "    [validate(), gate] >> train()\n",
        TRAINING,
    ),
    "subclass-of-the-same-name": denied(
        "class Fake(ScanPoisoningOperator):\n    def execute(self, context): pass\n"
        "Fake.__name__ = Fake.__qualname__ = 'ScanPoisoningOperator'\n"
        "Fake.__module__ = 'interlock.airflow.gates'\n"
        "with DAG('d'):\n    [validate(), poisoning(cls=Fake)] >> train()\n",
        TRAINING,
        text="made to look like it",
    ),
    "class-of-a-gate-patched": denied(
        "ScanPoisoningOperator.execute = lambda self, context: None\n" + GATED, "lint.tampering", text="execute"
    ),
    "chain-rule-patched": denied(
        "import interlock.pipeline, interlock.pipeline.chain as chain\n"
        "import interlock.airflow_plugin.linting.bag as bag\n"
        "chain.check = interlock.pipeline.check = bag.check = lambda graph: ()\n" + UNGATED,
        "lint.tampering",
        TRAINING,
    ),
    "chain-rule's-code-replaced": denied(
        "from interlock.pipeline import chain\nchain.check.__code__ = (lambda graph: ()).__code__\n" + UNGATED,
        "lint.tampering",
        TRAINING,
    ),
    "graph-of-live-objects-patched": denied(
        "import interlock.airflow_plugin.linting.bag as bag\n"
        "from interlock.pipeline import Graph\n"
        "bag.graph_of = lambda *a: Graph(steps=())\n" + UNGATED,
        "lint.tampering",
        TRAINING,
    ),
    "policies-unregistered": denied(
        "from airflow import settings\n"
        "manager = settings.get_policy_plugin_manager()\n"
        "for name, plugin in list(manager.list_name_plugin()):\n"
        "    manager.unregister(name=name)\n" + UNGATED,
        "lint.tampering",
        TRAINING,
        text="cluster policy interlock",
    ),
    "policy-replaced-in-airflow's-settings": denied(
        "from airflow import settings\nsettings.dag_policy = lambda dag: None\n" + UNGATED, "lint.tampering", TRAINING
    ),
    "honest-to-the-dag-processor-only": denied(
        "seen = get_parsing_context().task_id\n"
        "with DAG('d'):\n"
        "    if seen == 'poisoning':\n"
        "        gate = EmptyOperator(task_id='poisoning')\n"
        "    else:\n"
        "        gate = poisoning()\n"
        "    [validate(), gate] >> train()\n",
        TRAINING,
        text="as a worker loads it for task 'poisoning'",
    ),
    "refused-by-a-policy-of-the-organisation": denied(
        "with DAG('d', tags=['no-owner']):\n    EmptyOperator(task_id='a')\n",
        "airflow.cluster-policy",
        text="every DAG has an owner",
    ),
    "refused-by-the-organisation-and-ungated": denied(
        "with DAG('d', tags=['no-owner']):\n    train()\n", "airflow.cluster-policy", TRAINING
    ),
    "made-protected-by-a-task-policy": denied(
        "with DAG('d'):\n    BashOperator(task_id='to-gpu', bash_command='x')\n", TRAINING, text="queue 'gpu'"
    ),
    "skipped-by-a-policy": allowed(
        "with DAG('d', tags=['skip-me']):\n    EmptyOperator(task_id='a')\n", "airflow.cluster-policy"
    ),
    "policy-that-breaks": undecided(
        "with DAG('d', tags=['break']):\n    EmptyOperator(task_id='a')\n", "lint.import-error", text="KeyError"
    ),
    "variable-at-import": undecided(
        "x = Variable.get('foo')\n" + GATED, "lint.import-error", text="lint has no Airflow database"
    ),
    "connection-at-import": undecided(
        "x = Connection.get('foo')\n" + GATED, "lint.import-error", text="lint has no Airflow database"
    ),
    "syntax-error": undecided("with DAG('d'\n", "lint.import-error", text="SyntaxError"),
    "module-that-is-missing": undecided(
        "import no_such_module\n", "lint.import-error", text="No module named 'no_such_module'"
    ),
    "circle": undecided(
        "with DAG('d'):\n    a, b = EmptyOperator(task_id='a'), EmptyOperator(task_id='b')\n    a >> b >> a\n",
        "lint.import-error",
        text="Cycle",
    ),
    "sys-exit": undecided("import sys\nsys.exit(0)\n", "lint.import-error", text="SystemExit"),
    "os-exit": undecided("import os\nos._exit(0)\n", "lint.no-answer"),
    "two-dags-of-which-one-is-gated": denied(GATED + "\nwith DAG('e'):\n    train()\n", TRAINING),
    "mode-warn": allowed("with DAG('legacy_warn'):\n    train()\n", TRAINING, text="mode warn lets it pass"),
    "mode-audit": allowed("with DAG('legacy_audit'):\n    train()\n", TRAINING, text="mode audit lets it pass"),
    "mode-insert": allowed(
        "with DAG('insert_d'):\n    train()\n",
        "lint.inserted-gate",
        text="puts gate 'interlock__data-poisoning__train'",
    ),
    "mode-insert-that-cannot-mend": denied(
        "with DAG('insert_e'):\n    train(trigger_rule='all_done')\n", TRAINING, "lint.inserted-gate"
    ),
    "starts-a-protected-pipeline": allowed(
        "from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator\n"
        "with DAG('starter'):\n"
        "    [validate(), poisoning()] >> TriggerDagRunOperator(task_id='go', trigger_dag_id='d')\n",
        "lint.started-by",
        text="can be started alone",
    ),
    "mapped-gate": denied(
        "with DAG('d'):\n"
        "    gate = ScanPoisoningOperator.partial(task_id='poisoning', label='y').expand(subject=['a', 'b'])\n"
        "    [validate(), gate] >> train()\n",
        "lint.other-subject",
    ),
}

LOCAL_SETTINGS = """\
from airflow.exceptions import AirflowClusterPolicySkipDag, AirflowClusterPolicyViolation

def dag_policy(dag):
    if "no-owner" in dag.tags:
        raise AirflowClusterPolicyViolation("every DAG has an owner")
    if "skip-me" in dag.tags:
        raise AirflowClusterPolicySkipDag("not here")
    if "break" in dag.tags:
        raise KeyError("break")

def task_policy(task):
    if task.task_id == "to-gpu":
        task.queue = "gpu"
"""

LAYER = {
    "interlock/enforcement/airflow/warned": {"mode": "warn", "pipelines": ["legacy_warn"]},
    "interlock/enforcement/airflow/audited": {"mode": "audit", "pipelines": ["legacy_audit"]},
    "interlock/enforcement/airflow/mended": {"mode": "insert", "pipelines": ["insert_*"]},
    "interlock/insertion/airflow/validate": {
        "gate": "data-validation",
        "pipelines": ["insert_*"],
        "options": {"suite": "suite.json"},
    },
    "interlock/insertion/airflow/poisoning": {
        "gate": "data-poisoning",
        "pipelines": ["insert_*"],
        "options": {"label": "label"},
    },
}
"""A layer of policy data: the modes by the ids of the DAGs above."""
