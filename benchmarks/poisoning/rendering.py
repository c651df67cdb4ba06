"""Lines as a Markdown table and as pictures, from what was stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.poisoning.cells import Family
from benchmarks.poisoning.verdicts import Line

PAGE, PICTURE, COSTS = "poisoning.md", "poisoning-found.png", "poisoning-costs.png"
TITLES = {
    Family.STATIC: "One trigger at one place, no model, no clean set",
    Family.EVASIVE: "Triggers that hide: cover samples, moving, of changing colour, two at once",
    Family.NATURAL: "The same on natural crops in colour",
    Family.TRAINING: "Attacks that leave no pattern",
    Family.LABELS: "Wrong labels on images",
    Family.TABLES: "Tables",
    Family.TEXTS: "Texts, and instructions with responses",
    Family.CLEAN: "Clean data",
}
PYOD, ART = "pyod-", "art-"
NONE = "-"
INK, PALE, GOOD, BAD = "#1f2933", "#b8c2cc", "#0f766e", "#b45309"


def page(lines: Sequence[Line], notes: Sequence[str], versions: str) -> str:
    """The Markdown page.

    Args:
        lines: One per cell.
        notes: What was left out.
        versions: Of what ran.
    """
    attacked = [one for one in lines if one.cell.family is not Family.CLEAN]
    whole = sum(one.met == one.seeds for one in attacked)
    text = [
        "# The poisoning scan beside ART, cleanlab and PyOD",
        "",
        f"{whole} of {len(attacked)} targets reached. {versions}",
        "",
        "Each cell is one attack on one dataset; the scan's options are its defaults. *TPR / FPR* are shares of the",
        "poisoned and of the other rows that are flagged, in percent, over all seeds. Rows that carry a trigger under",
        "their own label (cover samples) count as neither. Peers are told the true share of poison, which a user does",
        "not know; in brackets is what their ranking finds at FPR 1 %. PyOD is the best of ECOD, KNN, LOF and IForest",
        "per class, by what it finds. *Margin* is the strength of the strongest evidence: 0.5 is the alarm, and one",
        "clean dataset in a thousand. Seconds are of one CPU.",
        "",
    ]
    for family in Family:
        mine = [one for one in lines if one.cell.family is family]
        if mine:
            text += [f"## {TITLES[family]}", ""]
            text += _clean(mine) if family is Family.CLEAN else _table(mine)
            text.append("")
    text += [f"![What is found]({PICTURE})", "", f"![What it costs]({COSTS})", ""]
    text += ["## Left out", "", *(f"- {note}" for note in notes), ""] if notes else []
    return "\n".join(text)


def _table(lines: Sequence[Line]) -> list[str]:
    text = [
        "| data | attack | Interlock TPR / FPR | margin | cleanlab | ART spectral | ART clusters | PyOD best | "
        "seconds: Interlock, cleanlab, ART, PyOD | target | reached |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in lines:
        ranked = _at(one.ranked) if one.cell.goal.ranked or one.cell.goal.beats else ""
        ours = f"**{_pair(one.tpr, one.fpr)}**{ranked}"
        if one.covered > one.fpr + 1e-3:
            ours += f" (with cover {100 * one.covered:.2f})"
        cells = (
            one.cell.data,
            one.cell.attack,
            ours,
            f"{one.strongest:.2f}",
            _peer(one, "cleanlab"),
            _peer(one, "art-spectral"),
            _peer(one, "art-activation-clustering"),
            _best_pyod(one),
            ", ".join((f"{one.cpu:.1f}", *(_seconds(one, who) for who in ("cleanlab", ART, PYOD)))),
            str(one.cell.goal),
            "yes" if one.met == one.seeds else f"{one.met} of {one.seeds}: {one.why}",
        )
        text.append(f"| {' | '.join(cells)} |")
    return text


def _clean(lines: Sequence[Line]) -> list[str]:
    """Draws of one kind in one line."""
    kinds = list(dict.fromkeys(one.cell.data for one in lines))
    text = [
        "| data | draws | alarms | strongest | peers flag, % of a clean set | seconds | |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in kinds:
        mine = [one for one in lines if one.cell.data == kind]
        peers = next((one.peers for one in mine if one.peers), {})
        said = ", ".join(f"{name} {100 * found['fpr']:.1f}" for name, found in peers.items() if not found["failed"])
        alarms, draws = sum(one.alarms for one in mine), sum(one.seeds for one in mine)
        strongest = max(one.strongest for one in mine)
        cpu = sum(one.cpu for one in mine) / len(mine)
        why = "; ".join(dict.fromkeys(one.why for one in mine if one.why))
        text.append(f"| {kind} | {draws} | **{alarms}** | {strongest:.2f} | {said} | {cpu:.1f} | {why} |")
    total = sum(one.alarms for one in lines)
    return [*text, "", f"{total} alarms in {sum(one.seeds for one in lines)} draws."]


def _pair(tpr: float | None, fpr: float) -> str:
    return f"{NONE if tpr is None else f'{100 * tpr:.1f}'} / {100 * fpr:.2f}"


def _at(ranked: float | None) -> str:
    return "" if ranked is None else f" [{100 * ranked:.1f}]"


def _peer(one: Line, name: str) -> str:
    said = one.peers.get(name)
    if said is None:
        return NONE
    if said["failed"]:
        return "failed"
    ranked = said.get("tpr_ranked")
    return _pair(said["tpr"], said["fpr_untouched"]) + _at(ranked)


def best_pyod(one: Line) -> str:
    """The name of the PyOD detector that finds most; empty when none was asked."""
    asked = {name: said for name, said in one.peers.items() if name.startswith(PYOD) and not said["failed"]}
    return max(asked, key=lambda name: (asked[name]["tpr"] or 0.0, -asked[name]["fpr"]), default="")


def _best_pyod(one: Line) -> str:
    name = best_pyod(one)
    return f"{_peer(one, name)} {name.removeprefix(PYOD)}" if name else NONE


def _seconds(one: Line, who: str) -> str:
    asked = [said["cpu"] for name, said in one.peers.items() if name.startswith(who)]
    return f"{sum(asked):.1f}" if asked else NONE


def _cpu(one: Line, name: str) -> float:
    """Seconds of a peer; those of ART share one trained model, whose training only the first of them is seen to pay."""
    together = [other for other in one.peers if other == name or (name.startswith(ART) and other.startswith(ART))]
    return float(max(one.peers[other]["cpu"] for other in together))


def pictures(lines: Sequence[Line], folder: Path) -> None:
    """What is found by whom, and what it costs, as PNG.

    Args:
        lines: One per cell.
        folder: Where to.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    attacked = [one for one in lines if one.tpr is not None and one.peers]
    if attacked:
        _found(attacked, folder / PICTURE)
        _costs(attacked, folder / COSTS)


def _found(lines: Sequence[Line], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 1.6 + 0.3 * len(lines)), layout="constrained")
    for place, one in enumerate(reversed(lines)):
        for name, marker, colour in (
            ("cleanlab", "s", "#6d28d9"),
            ("art-spectral", "^", "#be123c"),
            ("art-activation-clustering", "v", "#ea7b00"),
            (best_pyod(one), "x", "#0369a1"),
        ):
            said = one.peers.get(name)
            if said and not said["failed"]:
                axes.plot(100 * said["tpr"], place, marker, color=colour, markersize=6, alpha=0.8)
        axes.plot(100 * (one.tpr or 0), place, "o", color=GOOD if one.met == one.seeds else BAD, markersize=9)
    for marker, colour, name in (
        ("o", GOOD, "Interlock, target reached"),
        ("o", BAD, "Interlock, target missed"),
        ("s", "#6d28d9", "cleanlab"),
        ("^", "#be123c", "ART spectral"),
        ("v", "#ea7b00", "ART clusters"),
        ("x", "#0369a1", "PyOD, best of four"),
    ):
        axes.plot([], [], marker, color=colour, label=name)
    axes.set_yticks(range(len(lines)), [f"{one.cell.data.split(',')[0]}: {one.cell.attack}" for one in reversed(lines)])
    axes.set_xlim(-3, 103)
    axes.set_ylim(-0.7, len(lines) - 0.3)
    axes.set_xlabel("poisoned rows that are flagged, %")
    axes.grid(axis="both", color=PALE, linewidth=0.4)
    axes.tick_params(labelsize=8, colors=INK)
    figure.legend(loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _costs(lines: Sequence[Line], path: Path) -> None:
    """Rows wrongly flagged against seconds, one point for each cell and tool; both logarithmic."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    least = 0.003
    ours = [(max(one.cpu, 0.01), max(100 * one.fpr, least)) for one in lines]
    axes.scatter(
        [x for x, _ in ours], [y for _, y in ours], s=36, color=GOOD, label="Interlock, the whole gate", zorder=3
    )
    for who, marker, colour, label in (
        ("cleanlab", "s", "#6d28d9", "cleanlab"),
        (ART, "^", "#be123c", "ART, with its training"),
        (PYOD, "x", "#0369a1", "PyOD, each of four"),
    ):
        said = [
            (max(_cpu(one, name), 0.01), max(100 * peer["fpr_untouched"], least))
            for one in lines
            for name, peer in one.peers.items()
            if name.startswith(who) and not peer["failed"]
        ]
        if said:
            axes.scatter(
                [x for x, _ in said], [y for _, y in said], s=26, marker=marker, color=colour, label=label, alpha=0.7
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_yticks([0.003, 0.01, 0.1, 1, 10, 50], ["none", "0.01", "0.1", "1", "10", "50"])
    axes.set_xlabel("seconds of one CPU")
    axes.set_ylabel("clean rows that are flagged, %")
    axes.grid(color=PALE, linewidth=0.4)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
