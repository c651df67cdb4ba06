"""What both verifying bundles do: verify, snapshot, refuse, pause. Where the files come from is the subclass's.

``initialize()`` runs in the DAG processor's manager and, before a task's file is imported, on the worker; ``refresh()``
in the manager only. Both verify everything again. A refused file is absent from `path`, and a refused bundle has an
empty one, so nothing of it can be imported; on a worker a refused bundle raises, which fails the task and says why.
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

from airflow.configuration import conf
from airflow.dag_processing.bundles.base import BaseDagBundle

from interlock.airflow_plugin.bundles.admission import WHOLE_BUNDLE, Offered, Refused, Rules, admit
from interlock.airflow_plugin.bundles.pausing import database_allowed, pause_refused
from interlock.airflow_plugin.bundles.receipts import Evidence, opened_evidence
from interlock.airflow_plugin.bundles.snapshots import Snapshots
from interlock.evidence.enforcement import MAX_REASON, EnforcementEvent, EventKind, fitting
from interlock.gate.errors import DeniedError, EvidenceError, InterlockError, SubjectError

_LOG = logging.getLogger(__name__)

_NOTHING = "nothing-verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a source came to.

    Args:
        path: The folder that Airflow may import from.
        digest: sha256 over what is in it.
        refused: What is not in it.
    """

    path: Path
    digest: str
    refused: tuple[Refused, ...]


class VerifiedDagBundle(BaseDagBundle):
    """A bundle whose `path` holds verified copies only.

    Args:
        kwargs: As for `BaseDagBundle`: name, refresh_interval, version, view_url_template.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._verified: Verified | None = None
        self._hold: finalize[[int], Any] | None = None
        self._told: frozenset[Refused] = frozenset()

    @abstractmethod
    def _offers(self) -> Iterator[Offered | Refused]:
        """The source, file by file, each with the bytes that are to be imported.

        Raises:
            EvidenceError: Nothing of it may be imported, for example because its commit is not signed.
            UnavailableError: It did not answer.
        """

    @abstractmethod
    def _vouches(self, path: str) -> bool:
        """Whether something else than a receipt vouches for a file that is not code."""

    @property
    def _snapshots(self) -> Snapshots:
        return Snapshots(self.base_dir / "snapshots")

    @property
    def path(self) -> Path:
        """The verified copy; a folder that is not there until something was verified."""
        return self._verified.path if self._verified is not None else self.base_dir / _NOTHING

    def initialize(self) -> None:
        """Verify and make the private copy.

        Raises:
            DeniedError: The whole bundle is refused, and this process cannot say so in Airflow's database.
            InterlockError: It could not be verified.
        """
        refusal = self._settle()
        if refusal is not None and not (self.version is None and database_allowed()):
            raise refusal
        super().initialize()

    def refresh(self) -> None:
        """Verify again; what is refused now is gone from `path`, and its DAGs are paused.

        Raises:
            InterlockError: It could not be verified, because something did not answer or is set up wrongly; `path`
                stays the last one that was verified.
        """
        self._settle()

    def _settle(self) -> DeniedError | None:
        with opened_evidence() as evidence, self.lock():
            refusal = None
            try:
                verified = self._verify(evidence)
            except (EvidenceError, SubjectError) as error:
                refusal = DeniedError(
                    f"DAG bundle {self.name!r} is refused: {error.what}",
                    where=error.where,
                    next_step=error.next_step,
                )
                whole = Refused(path=WHOLE_BUNDLE, reason=str(refusal))
                verified = self._snapshot(iter((whole,)), evidence)
            self._use(verified)
            self._tell(verified.refused, evidence)
        return refusal

    def _verify(self, evidence: Evidence) -> Verified:
        return self._snapshot(self._offers(), evidence)

    def _snapshot(self, offers: Iterator[Offered | Refused], evidence: Evidence) -> Verified:
        rules = Rules(attestation=evidence.attestations.of, vouched=self._vouches)
        snapshots = self._snapshots
        with snapshots.staging() as staging:
            refused = tuple(admit(offers, rules, staging.write))
            digest = staging.digest
            return Verified(path=snapshots.settle(staging), digest=digest, refused=refused)

    def _use(self, verified: Verified) -> None:
        """Hold the new folder before the old one is let go, then remove what nobody needs."""
        before, self._hold = self._hold, finalize(self, os.close, self._snapshots.hold(verified.path))
        if before is not None:
            before()
        self._verified = verified
        age = conf.getint("dag_processor", "stale_bundle_cleanup_age_threshold")
        self._snapshots.prune(keep=verified.path, age=age)

    def _tell(self, refused: tuple[Refused, ...], evidence: Evidence) -> None:
        """Log what is newly refused, pause what came from it, and put both into the ledger."""
        new = [one for one in refused if one not in self._told]
        self._told = frozenset(refused)
        for one in new:
            _LOG.error("bundle %s: %s", self.name, one)
        follows = self.version is None and database_allowed()
        paused = self._pause(refused) if follows else {}
        for dag_id, reason in paused.items():
            _LOG.error("bundle %s: DAG %s is paused: %s", self.name, dag_id, reason)
        # A worker meets the same refused file at every start of a task; only what stops that task is worth an event.
        for one in new if follows else [one for one in new if one.path == WHOLE_BUNDLE]:
            self._record("", str(one), evidence)
        for dag_id, reason in paused.items():
            self._record(dag_id, f"paused: {reason}", evidence)

    def _pause(self, refused: tuple[Refused, ...]) -> dict[str, str]:
        """Without the database the files are refused all the same, and the next refresh tries to pause again."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return pause_refused(self.name, {one.path: str(one) for one in refused})
        except SQLAlchemyError as error:
            _LOG.error("bundle %s: the DAGs of refused files could not be paused: %s", self.name, error)
            return {}

    def _record(self, dag_id: str, reason: str, evidence: Evidence) -> None:
        event = EnforcementEvent(
            kind=EventKind.BUNDLE_REFUSED,
            actor=fitting(f"bundle {self.name}"),
            orchestrator="airflow",
            pipeline=fitting(dag_id),
            reason=fitting(reason, MAX_REASON),
        )
        try:
            evidence.ledger.record_event(event)
        except InterlockError as error:
            _LOG.error("bundle %s: a refusal could not be recorded, and holds all the same: %s", self.name, error)
