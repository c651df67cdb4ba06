"""Which peers there are, and one look of one of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from interlock.gate import MissingExtraError, UsageError
from interlock.poisoning.compare.art_peers import activation_clustering, relative_size, spectral
from interlock.poisoning.compare.gathering import Gathered
from interlock.poisoning.compare.label_peers import label_issues
from interlock.poisoning.compare.outlier_peers import of_each_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Said = tuple[NDArray[np.bool_], NDArray[np.float64] | None]

EXPECTED = 0.05
"""The share of poison that peers are told, which they must be told and nobody knows."""

MAX_REASON = 300

Look = Callable[[Gathered, float, int], "Said"]
"""Of rows, expected share and seed: flags, and how suspicious each row is where the peer says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One detector of another project.

    Args:
        name: What a user asks for.
        packages: What must be importable.
        look: Runs it.
        always: Why what it flags is no evidence.
    """

    name: str
    packages: tuple[str, ...]
    look: Look = field(repr=False)
    always: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a peer says of a dataset.

    Args:
        name: Of the peer.
        always: Why what it flags is no evidence.
        looked: int64 array (n,), ascending: the rows that it was given.
        rows: Those that it flags, ascending.
        scores: float64 array (n,): how suspicious each row is, larger is more; None where the peer does not say.
        left_out: Labelled rows that it was not given.
        failed: Why there is nothing; empty when it looked.
    """

    name: str
    always: str
    looked: NDArray[np.int64] = field(repr=False)
    rows: tuple[int, ...] = field(default=(), repr=False)
    scores: NDArray[np.float64] | None = field(default=None, repr=False)
    left_out: int = 0
    failed: str = ""


def _pyod(name: str) -> Look:
    return lambda rows, expected, seed: of_each_class(name, rows, expected, seed)


_QUOTA = "it flags a share of every class that it was told, also of a clean one"

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(name="art-spectral", packages=("art", "torch"), look=spectral, always=_QUOTA),
        Peer(
            name="art-activation-clustering",
            packages=("art", "torch"),
            look=activation_clustering,
            always="it flags the smaller of two clusters of every class",
        ),
        Peer(
            name="art-activation-clustering-relative-size",
            packages=("art", "torch"),
            look=relative_size,
            always="it compares sizes of clusters with a fixed number",
        ),
        *(
            Peer(name=f"pyod-{name}", packages=("pyod",), look=_pyod(name), always=_QUOTA)
            for name in ("ecod", "iforest", "knn", "lof")
        ),
        Peer(
            name="cleanlab",
            packages=("cleanlab", "sklearn"),
            look=label_issues,
            always="it has no null: classes that overlap give label issues on clean data too",
        ),
    )
}
"""By name."""


def known_peers(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers of these names, each once.

    Raises:
        UsageError: A name that is none.
    """
    for name in names:
        if name not in PEERS:
            raise UsageError(
                f"no detector {name!r} to compare with", where="also", next_step=f"use some of {', '.join(PEERS)}"
            )
    return tuple(PEERS[name] for name in dict.fromkeys(names))


def installed(peers: Sequence[Peer]) -> None:
    """See that all can be had, before anything is read.

    Raises:
        MissingExtraError: One cannot.
    """
    for peer in peers:
        for package in peer.packages:
            if find_spec(package) is None:
                raise MissingExtraError(package, extra="compare")


def compared(peer: Peer, rows: Gathered, *, expected: float = EXPECTED, seed: int = 0) -> Compared:
    """Let a peer look.

    Args:
        peer: Who.
        rows: What it is given.
        expected: The share of poison that it is told, where it must be told one.
        seed: Of everything random in it.

    Returns:
        What it says. A peer that raises is one that `failed`: that is its own affair, and no reason to end a scan.
    """
    import numpy as np

    before = np.random.get_state()
    try:
        np.random.seed(seed % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peers use that is deprecated is theirs to repair
            flags, scores = peer.look(rows, expected, seed)
    except Exception as error:  # noqa: BLE001 (the boundary to a plug-in: its failure is told in its place)
        said = " ".join(str(error).split())[:MAX_REASON]
        return nothing_from(peer, f"{type(error).__name__}: {said}")
    finally:
        np.random.set_state(before)
    if flags.shape != rows.rows.shape:
        return nothing_from(peer, f"it spoke of {len(flags)} of {len(rows.rows)} rows")
    return Compared(
        name=peer.name,
        always=peer.always,
        looked=rows.rows,
        rows=tuple(rows.rows[flags].tolist()),
        scores=scores,
        left_out=rows.left_out,
    )


def nothing_from(peer: Peer, why: str) -> Compared:
    """What a peer says that cannot look, or failed."""
    import numpy as np

    return Compared(name=peer.name, always=peer.always, looked=np.empty(0, dtype=np.int64), failed=why)
