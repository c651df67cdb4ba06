"""What runs in the pod of an Interlock component: the room of one step, from KFP's artifacts to a receipt and back.

The bytes come from where KFP put the artifact; receipts name them by the artifact's URI, which proves nothing, and by
their digest, which does. Receipt and report are written before anything is raised. KFP takes the outputs of a failed
step from nobody on a cluster, so there the ledger is where a refusal is found; `kfp.local` leaves the files.

Metadata of artifacts is for people: nothing of Interlock ever reads it back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from interlock.gate.errors import GuardError, SubjectError, UsageError
from interlock.gate.settings import Settings
from interlock.kubeflow.identity import run_identity
from interlock.kubeflow.options import arrived

if TYPE_CHECKING:
    from interlock.gate import GateOutcome, Json, RunIdentity
    from interlock.runner import LocalRunner

log = logging.getLogger(__name__)


class ArtifactFile(Protocol):
    """What is used of `kfp.dsl.Artifact`."""

    @property
    def uri(self) -> str:
        """Where KFP keeps it; a name, and no evidence."""
        ...

    @property
    def path(self) -> str:
        """Where it lies in this pod."""
        ...

    @property
    def metadata(self) -> dict[str, Any]:
        """For people; it goes where KFP keeps metadata."""
        ...


class Pod:
    """One step of a pipeline, with the deployment's settings.

    Args:
        pipeline: KFP's name of the run, untrusted like all that KFP fills in.
        run: KFP's id of the run.
        task: Name of the task.
        options: How the step is set, as it stands in the compiled pipeline.
        receipt: Where the receipt goes; None for a step that writes none.
        report: Where the report goes, as one HTML page.
    """

    def __init__(
        self,
        pipeline: str,
        run: str,
        task: str,
        *,
        options: Mapping[str, Json],
        receipt: ArtifactFile | None = None,
        report: ArtifactFile | None = None,
    ) -> None:
        self.run: RunIdentity = run_identity(
            {"interlock_pipeline": pipeline, "interlock_run": run, "interlock_task": task}
        )
        self.options = arrived(options)
        self._receipt = receipt
        self._report = report

    def __enter__(self) -> Self:
        from interlock.runner import LocalRunner

        logging.getLogger("great_expectations").setLevel(logging.WARNING)  # KFP's executor shows all that anybody says
        self._runner = LocalRunner(Settings.load())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.__exit__(kind, error, trace)

    @property
    def runner(self) -> LocalRunner:
        """Where gates, guards and trainings run."""
        return self._runner

    def option(self, name: str) -> Json:
        """One of the options.

        Raises:
            UsageError: The compiled pipeline does not set it.
        """
        if name not in self.options:
            raise UsageError(
                f"the step has no option {name!r}",
                where=f"options of {self.run.task_id}",
                next_step="make the task with the factory of interlock.kubeflow, or set it as that does",
            )
        return self.options[name]

    def gate(
        self,
        kind: str,
        subject: ArtifactFile,
        *,
        beside: Mapping[str, ArtifactFile | None] | None = None,
        outputs: Mapping[str, ArtifactFile | None] | None = None,
    ) -> str:
        """Run one gate on an artifact.

        Args:
            kind: One of `interlock.runner.catalogue.gate_kinds()`.
            subject: What is checked.
            beside: What else the gate reads, by the name of its option; None for what was not given.
            outputs: What the gate leaves behind beside its report, by name; None for what is not wanted.

        Returns:
            ``ALLOW``; nothing else is ever returned.

        Raises:
            RefusedError: The decision is DENY or UNDECIDED; receipt and report are written.
            InterlockError: As `LocalRunner.run_gate`.
        """
        from interlock.reporting import tell
        from interlock.runner import GateRequest

        read: dict[str, Json] = {name: one.path for name, one in (beside or {}).items() if one is not None}
        request = GateRequest(
            kind=kind,
            subject=place_of(subject),
            named=subject.uri,
            options={**self.options, **read},
            outputs={name: one.path for name, one in (outputs or {}).items() if one is not None},
            run=self.run,
        )
        outcome = self._runner.run_gate(request)
        self.leave(outcome)
        tell(log, outcome)
        outcome.raise_unless_allowed()
        return outcome.decision.verdict.value

    def check(self, subject: ArtifactFile) -> str:
        """Open the guard of a step on an artifact and shut it again.

        Raises:
            GuardError: The evidence does not suffice; the guard's receipt and report are written.
        """
        from interlock.runner import GuardRequest

        step, requires = self.option("step"), self.option("requires")
        request = GuardRequest(
            kind=str(step), subject=place_of(subject), named=subject.uri, requires=texts(requires), run=self.run
        )
        with self.documented(), self._runner.open_guard(request) as opened:
            self.leave_recorded(opened.recorded.receipt_id)
            log.info("%s may start on sha256:%s", step, opened.subject.subject.digest)
        return "ALLOW"

    @contextmanager
    def documented(self) -> Iterator[None]:
        """Write the receipt and report of a guard that stays shut, then let its error go on."""
        try:
            yield
        except GuardError as error:
            if error.receipt_id:
                self.leave_recorded(error.receipt_id)
            raise

    def leave_recorded(self, receipt_id: str) -> None:
        """Write a receipt of the ledger, and its report."""
        from interlock.evidence import authentic, outcome_from

        entry = self._runner.ledger.get(receipt_id)
        self.leave(outcome_from(entry, authentic(entry.envelope, self._runner.keyring).receipt))

    def leave(self, outcome: GateOutcome) -> None:
        """Write what the ledger has of an outcome into the step's artifacts.

        Raises:
            LedgerError, UnavailableError: The receipt cannot be read back.
            UsageError: A file cannot be written.
        """
        from interlock.reporting import render_html, write_whole

        report, receipt_id = outcome.report, outcome.recorded.receipt_id
        about: dict[str, object] = {
            "receipt_id": receipt_id,
            "verdict": outcome.decision.verdict.value,
            "digest": f"sha256:{report.subject.digest}",
        }
        if self._receipt is not None:
            write_whole(Path(self._receipt.path), self._runner.ledger.get(receipt_id).envelope)
            self._receipt.metadata.update(about)
        if self._report is not None:
            page = render_html(title=f"{report.gate}: {report.subject.name}", outcomes=[outcome])
            write_whole(Path(self._report.path), page)
            self._report.metadata.update(about)

    def leave_envelopes(self, envelopes: Sequence[str]) -> None:
        """Write receipts that were found, one on each line, as `interlock ledger export` does."""
        from interlock.reporting import write_whole

        if self._receipt is not None:
            lines = [json.dumps(json.loads(one), separators=(",", ":")) + "\n" for one in envelopes]
            write_whole(Path(self._receipt.path), "".join(lines))


def texts(value: Json) -> tuple[str, ...]:
    """A list of texts out of the options."""
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def place_of(subject: ArtifactFile) -> str:
    """The artifact's place in this pod.

    Raises:
        SubjectError: KFP put nothing there.
    """
    if not Path(subject.path).exists():
        raise SubjectError(
            "the artifact is not there",
            where=f"{subject.uri} at {subject.path}",
            next_step="let the step before write its output",
        )
    return subject.path
