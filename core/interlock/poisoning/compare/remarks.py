"""What peers said, as remarks and measures of the report: for comparison only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from interlock.gate import Finding, Json, Level, Measure, Observation
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import BatchSource
from interlock.poisoning.compare.gathering import gathered
from interlock.poisoning.compare.peers import Compared, Peer, compared, nothing_from
from interlock.poisoning.survey import Profile

MAX_ROWS_NAMED = 50


def beside(
    seen: Observation,
    peers: Sequence[Peer],
    source: BatchSource,
    profile: Profile,
    *,
    flagged: Sequence[int],
    seed: int,
) -> Observation:
    """What a scan saw, with what peers say: one remark for each, and how many rows it flags alone and with the scan.

    Args:
        seen: By the scan.
        peers: Who is asked; with none, `seen` stays as it is.
        source: The dataset, read once more.
        profile: Of the dataset.
        flagged: Rows that the scan flags.
        seed: Of everything random in the peers.
    """
    if not peers:
        return seen
    if profile.unfit:
        said = tuple(nothing_from(peer, profile.unfit) for peer in peers)
    else:
        rows = gathered(source, profile, seed=seed)
        said = tuple(compared(peer, rows, seed=seed) for peer in peers)
    ours = frozenset(flagged)
    return replace(
        seen,
        findings=(*seen.findings, *(_remark(one, ours) for one in said)),
        measures=(*seen.measures, *(measure for one in said for measure in _measures(one, ours))),
    )


def _measures(said: Compared, ours: frozenset[int]) -> tuple[Measure, ...]:
    if said.failed:
        return ()
    name = f"compared_{said.name.replace('-', '_')}"
    return (
        Measure(name=f"{name}_rows", value=len(said.rows), unit="rows"),
        Measure(name=f"{name}_shared_rows", value=len(ours & set(said.rows)), unit="rows"),
    )


def _remark(said: Compared, ours: frozenset[int]) -> Finding:
    evidence: dict[str, Json] = {"compared": said.name, "failed": said.failed or None}
    if said.failed:
        message = f"For comparison only: {said.name} says nothing, because it failed ({said.failed})"
    else:
        shared = len(ours & set(said.rows))
        message = (
            f"For comparison only: {said.name} flags {len(said.rows)} of {len(said.looked)} rows, of which "
            f"{shared} are among the {len(ours)} flagged by this scan; {said.always}"
        )
        evidence |= {
            "looked_at": len(said.looked),
            "left_out": said.left_out,
            "rows": len(said.rows),
            "shared_rows": shared,
            "first_rows": list(said.rows[:MAX_ROWS_NAMED]),
        }
    return Finding(
        rule_id="data-poisoning.compared",
        level=Level.NOTE,
        message=message,
        evidence=canonical_json(evidence).decode(),
    )
