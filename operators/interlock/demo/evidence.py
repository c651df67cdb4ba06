"""What the ledger and the registry say of the demo's runs: verdicts and reasons for the table, reports for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.demo.scenarios import Ended, Row, Scenario, StepEnd
from interlock.gate import (
    GateOutcome,
    InterlockError,
    Level,
    Settings,
    SubjectNotFoundError,
    Verdict,
    utc_now,
)
from interlock.gate.documents import report_from

if TYPE_CHECKING:
    from interlock.evidence import LedgerEntry, Receipt

MODEL = "digits"
ALIAS = "champion"


class DemoEvidence:
    """Reads back what the runs left behind, and believes only what verifies.

    Args:
        settings: Those of the demo's steps.
    """

    def __init__(self, settings: Settings) -> None:
        from interlock.evidence import KeyRing, Ledger

        self._settings = settings
        self._ledger = Ledger.open(settings.ledger_url)
        self._keyring = KeyRing.load(settings)

    def receipts(self, run_id: str) -> list[tuple[LedgerEntry, Receipt]]:
        """The verified receipts of one run, oldest first."""
        from interlock.evidence import verify_receipt

        now = utc_now()
        entries = self._ledger.of_run_id(run_id)
        return [(entry, verify_receipt(entry.envelope, self._keyring, now=now)) for entry in entries]

    def run_id_of(self, files: Iterable[Path]) -> str:
        """The one run that all of a run's receipts name, for an orchestrator that tells nobody its runs' ids.

        Args:
            files: Receipts as the run left them; what does not verify counts as none.

        Returns:
            Empty when there are none, or they name several runs.
        """
        from interlock.evidence import verify_receipt

        named = set()
        for file in files:
            try:
                named.add(verify_receipt(file.read_bytes(), self._keyring, now=utc_now()).run.run_id)
            except InterlockError:
                continue
        return named.pop() if len(named) == 1 else ""

    def rows(self, scenario: str, run_id: str, ends: Sequence[StepEnd]) -> list[Row]:
        """One run's lines of the table.

        Args:
            scenario: Its name.
            run_id: The run.
            ends: How the orchestrator saw its steps end, in the order in which they run.
        """
        receipts = self.receipts(run_id)
        rows: list[Row] = []
        stopper = ""
        for end in ends:
            mine = [found for found in receipts if found[1].run.task_id == end.step]
            rows.append(self._row(scenario, end, mine[-1] if mine else None, stopper))
            if rows[-1].outcome not in ("ran", Verdict.ALLOW.value, Ended.NOT_STARTED.value):
                stopper = end.step
        return rows

    def promoted(self, run_id: str) -> bool:
        """True when the registry's alias names a model whose promotion rests on a receipt of this run."""
        from interlock.deployment import FolderRegistry

        try:
            current = FolderRegistry(self._settings.registry).resolve(f"registry://{MODEL}/{ALIAS}")
        except SubjectNotFoundError:
            return False
        return any(
            receipt.subject.digest == current.digest and receipt.receipt_id in current.receipts
            for _, receipt in self.receipts(run_id)
        )

    def isolation(self, run_id: str) -> str:
        """The sandbox level that the training's signed report names."""
        for entry, receipt in self.receipts(run_id):
            if receipt.gate == "training" and receipt.materials:
                report = report_from(self._ledger.get(entry.receipt_id).report_document())
                rank = {m.name: m.value for m in report.observation.measures}.get("isolation_rank", 0)
                return {3: "bwrap", 2: "landlock+seccomp", 1: "rlimits"}.get(int(rank), "unknown")
        return "unknown: no training receipt"

    def ledger_problems(self) -> list[str]:
        """What the ledger's own check finds."""
        try:
            self._ledger.verify()
        except InterlockError as error:
            return [f"ledger: {error}"]
        return []

    def write_page(
        self, path: Path, title: str, scenarios: Sequence[Scenario], rows: Sequence[Row], runs: Mapping[str, str]
    ) -> Path:
        """Write the HTML page, whole or not at all.

        Args:
            path: Where to.
            title: Its heading.
            scenarios: Their stories become headings of their receipts.
            rows: The table.
            runs: Run id by scenario.
        """
        from interlock.reporting import OutcomeGroup, ScenarioRow, render_html, write_whole

        groups = [
            OutcomeGroup(
                title=f"{scenario.name}: {scenario.story}",
                outcomes=tuple(
                    self._outcome_of(entry, receipt) for entry, receipt in self.receipts(runs[scenario.name])
                ),
            )
            for scenario in scenarios
        ]
        table = [
            ScenarioRow(scenario=r.scenario, step=r.step, outcome=r.outcome, reason=r.reason, seconds=r.seconds)
            for r in rows
        ]
        page = render_html(title=title, rows=table, groups=groups)
        write_whole(path, page)
        return path

    def _row(self, scenario: str, end: StepEnd, found: tuple[LedgerEntry, Receipt] | None, stopper: str) -> Row:
        receipt = found[1] if found else None
        outcome, reason = _outcome(end, receipt, stopper)
        if found and outcome == Verdict.DENY.value:
            reason = self._finding_of(found[0]) or reason
        return Row(
            scenario=scenario,
            step=end.step,
            outcome=outcome,
            reason=reason,
            seconds=end.seconds if outcome != Ended.NOT_STARTED.value else None,
            receipt_id=receipt.receipt_id if receipt else "",
        )

    def _finding_of(self, entry: LedgerEntry) -> str:
        """The first thing that the gate found wrong: it says more than the threshold that policy holds against it."""
        report = report_from(self._ledger.get(entry.receipt_id).report_document())
        wrong = [finding.message for finding in report.observation.findings if finding.level is Level.ERROR]
        return wrong[0] if wrong else ""

    def _outcome_of(self, entry: LedgerEntry, receipt: Receipt) -> GateOutcome:
        from interlock.evidence import outcome_from

        return outcome_from(self._ledger.get(entry.receipt_id), receipt)


def _outcome(end: StepEnd, receipt: Receipt | None, stopper: str) -> tuple[str, str]:
    if end.ended is Ended.NOT_STARTED:
        return Ended.NOT_STARTED.value, f"{stopper} refused" if stopper else "something before it failed"
    if receipt is None:
        return ("ran", "") if end.ended is Ended.SUCCESS else ("failed", "see the step's log")
    decision = receipt.decision
    if decision.verdict is Verdict.ALLOW and end.ended is not Ended.SUCCESS:
        return "failed", "allowed, but the step then failed"
    reasons = [reason.message for reason in decision.reasons] + list(decision.errors)
    return decision.verdict.value, reasons[0] if reasons else ""
