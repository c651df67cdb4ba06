"""Which profile of a snapshot counts (the one that an allowing receipt names), and a clean set, held like a subject."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, digits, square, targeted
from tests.poisoning.conftest import columns

from interlock.gate import GateOutcome, Json, RunIdentity, Settings, UsageError, Verdict
from interlock.gate.documents import canonical_json
from interlock.poisoning import BatchStream, PoisoningGate
from interlock.runner import GateRequest, LocalRunner

RUN = RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r1", task_id="poisoning")
DATA = digits()
OPTIONS: dict[str, Json] = {"label": "label", "image_shape": [8, 8]}


def scan(runner: LocalRunner, subject: Path, *, profile_out: Path | None = None, **options: Json) -> GateOutcome:
    outputs = {"profile_out": str(profile_out)} if profile_out is not None else {}
    request = GateRequest(
        kind="data-poisoning", subject=str(subject), options=OPTIONS | options, outputs=outputs, run=RUN
    )
    return runner.run_gate(request)


def said(outcome: GateOutcome, name: str) -> Json:
    found: Json = json.loads(outcome.report.configuration)[name]
    return found


def measures(outcome: GateOutcome) -> dict[str, float]:
    return {measure.name: measure.value for measure in outcome.report.observation.measures}


def rules(outcome: GateOutcome) -> set[str]:
    return {finding.rule_id.removeprefix("data-poisoning.") for finding in outcome.report.observation.findings}


def store(data: Dataset, path: Path) -> Path:
    pq.write_table(pa.table(columns(data)), path)
    return path


@dataclass(frozen=True)
class Done:
    """A snapshot that was allowed, and its profile."""

    runner: LocalRunner
    outcome: GateOutcome
    subject: Path
    next: Path
    profile: Path
    root: Path

    def other(self, name: str, document: bytes) -> Path:
        path = self.root / name
        path.write_bytes(document)
        return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    root = tmp_path_factory.mktemp("accepted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERLOCK_HOME", str(root / "home"))
        patch.setenv("INTERLOCK_PROFILE", "dev")
        with LocalRunner(Settings.load()) as runner:
            subject, profile = store(DATA, root / "monday.parquet"), root / "profiles" / "monday.json"
            outcome = scan(runner, subject, profile_out=profile)
            tuesday = store(DATA.taken(np.arange(len(DATA.labels))[::-1]), root / "tuesday.parquet")
            yield Done(runner=runner, outcome=outcome, subject=subject, next=tuesday, profile=profile, root=root)


def test_the_profile_of_an_allowed_snapshot_is_written_and_named_by_the_report(done: Done) -> None:
    assert done.outcome.decision.verdict is Verdict.ALLOW
    (written,) = done.outcome.written
    assert written.subject is not None
    assert written.receipt_id == done.outcome.recorded.receipt_id
    facts = dict(done.outcome.report.observation.facts)
    assert json.loads(facts["snapshot_profile"]) == {"digest": {"sha256": written.subject.digest}}
    document = done.profile.read_bytes()
    assert canonical_json(json.loads(document)) == document
    assert json.loads(document)["subject"]["digest"]["sha256"] == done.outcome.report.subject.digest


def test_the_next_scan_says_what_it_was_compared_with(done: Done) -> None:
    outcome = scan(done.runner, done.next, accepted=str(done.profile))
    assert outcome.decision.verdict is Verdict.ALLOW
    (written,) = done.outcome.written
    assert written.subject is not None
    accepted = said(outcome, "accepted")
    assert isinstance(accepted, dict)
    assert accepted["digest"] == {"sha256": written.subject.digest}
    assert accepted["receipt"] == done.outcome.recorded.receipt_id
    found = measures(outcome)
    assert found["drift"] == 0
    assert found["feature_drift"] == found["label_drift"] == 0
    assert found["detectors_run"] == measures(done.outcome)["detectors_run"]


def forged(document: bytes) -> bytes:
    value = json.loads(document)
    for pair in value["pairs"]["knn"]:
        pair[2] += 50
    return canonical_json(value)


def of_other_bytes(document: bytes) -> bytes:
    value = json.loads(document)
    value["subject"]["digest"]["sha256"] = "ab" * 32
    return canonical_json(value)


def respelled(document: bytes) -> bytes:
    return json.dumps(json.loads(document), indent=1).encode()


def crooked(document: bytes) -> bytes:
    value = json.loads(document)
    value["tally"]["counts"]["shape"][0] += 1
    return canonical_json(value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(forged, "names its digest", id="numbers-were-changed"),
        pytest.param(of_other_bytes, "no receipt of data-poisoning allows", id="says-to-be-of-other-bytes"),
        pytest.param(respelled, "names its digest", id="the-same-in-other-bytes"),
        pytest.param(crooked, "no profile of a snapshot", id="parts-that-do-not-fit"),
        pytest.param(lambda _: b"{}", "no profile of a snapshot", id="another-document"),
        pytest.param(lambda document: document[:1000], "no profile of a snapshot", id="cut-off"),
        pytest.param(lambda _: b"[" * 100_000, "no profile of a snapshot", id="bottomless"),
    ],
)
def test_a_profile_that_nothing_vouches_for_leaves_the_outcome_undecided(
    done: Done, change: Callable[[bytes], bytes], reason: str
) -> None:
    path = done.other("forged.json", change(done.profile.read_bytes()))
    outcome = scan(done.runner, done.next, accepted=str(path))
    assert outcome.decision.verdict is Verdict.UNDECIDED
    assert reason in outcome.report.observation.findings[0].message


def test_a_snapshot_that_was_refused_leaves_no_profile(done: Done) -> None:
    poisoned = badnets(DATA, square(3, 16), rate=0.05, target=0, top=5, left=5, seed=0)
    place = done.root / "refused.json"
    outcome = scan(done.runner, store(poisoned, done.root / "refused.parquet"), profile_out=place)
    assert outcome.decision.verdict is Verdict.DENY
    assert not place.exists()
    assert "DENY" in outcome.written[0].note


def test_a_later_denial_takes_the_snapshot_back(done: Done) -> None:
    subject, profile = store(DATA.taken(DATA.labels.argsort()), done.root / "sorted.parquet"), done.root / "s.json"
    assert scan(done.runner, subject, profile_out=profile).decision.verdict is Verdict.ALLOW
    failed = scan(done.runner, subject, label="no such column")
    assert failed.decision.verdict is not Verdict.ALLOW
    outcome = scan(done.runner, done.next, accepted=str(profile))
    assert outcome.decision.verdict is Verdict.UNDECIDED
    assert "the newest receipt" in outcome.report.observation.findings[0].message


def test_targeted_flips_name_their_pair_beside_the_accepted_snapshot(done: Done) -> None:
    flips = targeted(DATA, rate=0.04, source=3, target=8, seed=1)
    path = store(flips, done.root / "flips.parquet")
    without, beside = scan(done.runner, path), scan(done.runner, path, accepted=str(done.profile))
    assert "label-excess" not in rules(without)
    (finding,) = [f for f in beside.report.observation.findings if f.rule_id == "data-poisoning.label-excess"]
    evidence = json.loads(finding.evidence)
    assert (evidence["label"], evidence["resembles"]) == ("8", "3")
    assert set(evidence["first_rows"]) <= set(flips.poisoned.tolist())


def test_targeted_flips_name_their_pair_beside_a_clean_set(done: Done) -> None:
    known = np.arange(len(DATA.labels)) % 3 > 0
    clean = store(DATA.taken(np.flatnonzero(known)), done.root / "clean.parquet")
    flips = targeted(DATA.taken(np.flatnonzero(~known)), rate=0.08, source=3, target=8, seed=1)
    outcome = scan(done.runner, store(flips, done.root / "beside-clean.parquet"), clean=str(clean))
    assert outcome.decision.verdict is Verdict.DENY
    (finding,) = [f for f in outcome.report.observation.findings if f.rule_id == "data-poisoning.clean-excess"]
    evidence = json.loads(finding.evidence)
    assert (evidence["label"], evidence["resembles"]) == ("8", "3")
    assert len(set(evidence["first_rows"]) - set(flips.poisoned.tolist())) <= 1
    held = hashlib.sha256(clean.read_bytes()).hexdigest()
    assert said(outcome, "clean") == {"uri": str(clean), "digest": {"sha256": held}}


def test_a_missing_clean_set_is_said_to_be_missing(done: Done) -> None:
    outcome = scan(done.runner, done.next, clean=str(done.root / "nowhere.parquet"))
    assert outcome.decision.verdict is Verdict.UNDECIDED


def test_a_missing_profile_is_said_to_be_missing(done: Done) -> None:
    outcome = scan(done.runner, done.next, accepted=str(done.root / "nowhere.json"))
    assert outcome.decision.verdict is Verdict.UNDECIDED


def test_without_a_runner_nobody_vouches(done: Done) -> None:
    rows = BatchStream(lambda: [(DATA.images, DATA.labels.tolist())], image_shape=(8, 8))
    with pytest.raises(UsageError, match="without a runner"):
        PoisoningGate("label", accepted=str(done.profile)).examine(rows)


@pytest.mark.parametrize("value", ["", 3, ["a"]])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="a path or a URL"):
        PoisoningGate("label", accepted=value)  # type: ignore[arg-type]  # as it comes from JSON
