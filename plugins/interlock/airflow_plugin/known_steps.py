"""Which tasks are gates and which are protected, as the API server can know it: the serialized DAG and the policy.

Nothing here runs on the event loop: it reads Airflow's database and the policy, and may wait for both.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from interlock.airflow_plugin.rules import Rules, rules_of
from interlock.airflow_plugin.serialized_graph import graph_of_serialized
from interlock.pipeline import Step

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from interlock.gate import Settings

_KEPT = 256
"""Versions of DAGs whose steps are remembered."""


def current_rules(settings: Settings) -> Rules:
    """The rules of policy as it is now: the API server lives long, so they are read again each time.

    Raises:
        InterlockError: The policy cannot be had, so nobody knows what is protected.
    """
    from interlock.policy import load_policy

    return rules_of(settings, load_policy(settings))


class KnownSteps:
    """Remembers the steps of DAG versions; thread safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Mapping[str, Step]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, dag_id: str, version_id: str, *, rules: Rules, session: Session) -> Mapping[str, Step] | None:
        """The steps of one version of a DAG by task id, or None when that version is not in Airflow's database.

        Args:
            dag_id: The DAG.
            version_id: UUID of the version; empty means the newest.
            rules: What policy says.
            session: Of Airflow's database.

        Raises:
            InterlockError: Policy does not say what a protected step of this DAG requires.
            SQLAlchemyError: Airflow's database does not answer.
        """
        from airflow.models.serialized_dag import SerializedDagModel
        from sqlalchemy import select

        wanted = select(SerializedDagModel.id, SerializedDagModel.dag_hash).where(SerializedDagModel.dag_id == dag_id)
        if version_id:
            wanted = wanted.where(SerializedDagModel.dag_version_id == UUID(version_id))
        found = session.execute(wanted.order_by(SerializedDagModel.created_at.desc()).limit(1)).one_or_none()
        if found is None:
            return None
        key = (str(found.id), found.dag_hash, rules.bundle.digest, rules.profile)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        row = session.get_one(SerializedDagModel, found.id)
        row.load_op_links = False
        graph = graph_of_serialized(row.dag, rules.protection, rules.required)
        steps = {step.id: step for step in graph.steps}
        with self._lock:
            self._kept[key] = steps
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return steps
