"""In the author's process: the DAGs of one file, as Airflow loads them, and what there is to judge of each.

Every cluster policy but Interlock's own runs, and may change the DAG or refuse it; a refusal is noted and the DAG is
described all the same. What is said here is judged in another process (`judging`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.dag_graph import graph_of
from interlock.airflow_plugin.inserting import insert_gates
from interlock.airflow_plugin.linting.places import Places
from interlock.airflow_plugin.linting.tampering import Watched
from interlock.gate.values import Json
from interlock.pipeline import Mode, check, graph_document

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from interlock.airflow_plugin.rules import Rules


def load(file: Path, root: Path, rules: Rules) -> Json:
    """Import `file` and describe its DAGs.

    Args:
        file: A DAG file or zip archive; its code runs here.
        root: The DAG folder, from which modules are imported.
        rules: Policy's word.
    """
    import sys

    places = Places.of(file)
    watched = Watched()
    sys.path.append(str(root))
    seen: list[dict[str, Json]] = []
    errors = _process(file, seen, rules)
    for dag in seen:
        _add_lines(dag, places)
    return {"dags": seen, "errors": errors, "tampered": watched.changes()}


def _process(file: Path, seen: list[dict[str, Json]], rules: Rules) -> list[str]:
    """Let Airflow load the file, noting each DAG whatever the policies say of it; returns the import errors."""
    bag: Any = _bag(file.parent)
    bag_dag = bag.bag_dag

    def noted(dag: DAG) -> None:
        before = {task.task_id for task in dag.tasks}
        said = _policies(bag_dag, dag)
        seen.append(_description(dag, rules, said, before))

    bag.bag_dag = noted
    # A file that is named, or found by its looks, is loaded; of an archive Airflow chooses by the looks of its members.
    bag.process_file(str(file), only_if_updated=False, safe_mode=not file.name.endswith(".py"))
    return [str(error) for error in bag.import_errors.values()]


def _bag(folder: Path) -> Any:
    """An empty bag of DAGs; Airflow wants to hear of a folder, which is not searched."""
    with contextlib.suppress(ModuleNotFoundError):
        from airflow.dag_processing.dagbag import DagBag

        return DagBag(dag_folder=str(folder), collect_dags=False)
    from airflow.models import dagbag  # Airflow 3.1

    before_3_2: Any = dagbag
    return before_3_2.DagBag(dag_folder=str(folder), collect_dags=False)


def _policies(bag_dag: Any, dag: DAG) -> list[Json]:
    """Let Airflow bag the DAG; returns what kept it out, as kind and message."""
    from airflow.exceptions import AirflowClusterPolicySkipDag, AirflowClusterPolicyViolation

    try:
        bag_dag(dag)
    except AirflowClusterPolicyViolation as refusal:
        return ["refused", str(refusal)]
    except AirflowClusterPolicySkipDag as skip:
        return ["skipped", str(skip)]
    except Exception as error:  # noqa: BLE001  # a policy that failed, a circle, a twin: Airflow makes an import error
        cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else None
        said = (
            f"a cluster policy raised {type(cause).__name__}: {cause}" if cause else f"{type(error).__name__}: {error}"
        )
        return ["failed", said]
    return []


def _description(dag: DAG, rules: Rules, said: list[Json], before: set[str]) -> dict[str, Json]:
    tags = tuple(sorted(map(str, dag.tags or ())))
    mode = rules.enforcement.mode(dag.dag_id, tags)
    graph = graph_of(dag, rules.protection, rules.required)
    inserted: tuple[str, ...] = ()
    if mode is Mode.INSERT and (violations := check(graph)):
        inserted = insert_gates(dag, violations, rules)
        graph = graph_of(dag, rules.protection, rules.required)
    serialized, problem = _serialized(dag)
    return {
        "dag": str(dag.dag_id),
        "tags": list(tags),
        "policy": said,
        "inserted": list(inserted),
        "added": sorted(step.id for step in graph.steps if step.id not in before and step.id not in inserted),
        "graph": graph_document(graph) if graph.steps else None,
        "serialized": serialized,
        "problem": problem,
    }


def _serialized(dag: DAG) -> tuple[Json, str]:
    """The DAG as Airflow writes it to its database, or why it cannot."""
    to_dict = serializer().to_dict
    try:
        document: Json = to_dict(dag)
    except Exception as error:  # noqa: BLE001  # Airflow wraps whatever an author's object raised
        return None, f"{type(error).__name__}: {error}"
    return document, ""


def serializer() -> Any:
    """The class that writes and reads serialized DAGs."""
    with contextlib.suppress(ImportError):
        from airflow.serialization.serialized_objects import DagSerialization

        return DagSerialization
    from airflow.serialization import serialized_objects  # Airflow 3.1

    return serialized_objects.SerializedDAG  # type: ignore[attr-defined]  # where 3.1 has it


def _add_lines(dag: dict[str, Json], places: Places) -> None:
    name = str(dag["dag"])
    graph: Any = dag["graph"]
    steps = [step["id"] for step in graph["steps"]] if graph else []
    dag["line"] = places.dag(name)
    dag["lines"] = {step: places.task(name, step) for step in steps}
