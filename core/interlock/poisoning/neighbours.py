"""Exact nearest neighbours, in blocks: a matrix product and the smallest of each line.

On CPU faiss does it (Douze et al., 2024, "The Faiss library"; a flat index: every distance, and a heap), in two thirds
of torch's time; without it, and on CUDA, torch does. Each query is answered by itself, whatever was asked beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.gate import MissingExtraError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

BLOCK_CELLS = 2**24
"""Distances held at once: 64 MiB of float32, whatever the number of rows."""


def nearest(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    count: int,
    *,
    device: str = "cpu",
    same: bool = False,
    weights: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest references of each query by Euclidean distance.

    Args:
        queries: float32 array (q, d).
        references: float32 array (r, d).
        count: Neighbours per query; no more than there are references.
        device: A torch device.
        weights: float32 array (d,), what every reference is multiplied with; the queries are taken as they are.
        same: True when query i is reference i and must not find itself; there may be more queries than references.

    Returns:
        int64 array (q, count) of positions in `references`, nearest first, and float32 array (q, count) of squared
        distances less the query's own square norm.
    """
    import numpy as np
    import torch

    count = min(count, len(references) - int(same))
    answer = _by_faiss(queries, references, count, same=same, weights=weights) if device == "cpu" and count else None
    if answer is not None:
        return answer
    there = torch.from_numpy(references).to(device)
    if weights is not None:
        there = there * torch.from_numpy(weights).to(device)
    norms = (there * there).sum(dim=1)
    found = np.empty((len(queries), count), dtype=np.int64)
    far = np.empty((len(queries), count), dtype=np.float32)
    step = max(16, BLOCK_CELLS // max(1, len(references)))
    for at in range(0, len(queries), step):
        block = torch.from_numpy(queries[at : at + step]).to(device)
        distances = torch.addmm(norms, block, there.T, alpha=-2)
        if same:
            self_rows = torch.arange(at, max(at, min(at + len(block), len(references))), device=device)
            distances[self_rows - at, self_rows] = float("inf")
        values, places = distances.topk(count, dim=1, largest=False)
        found[at : at + step] = places.cpu().numpy()
        far[at : at + step] = values.cpu().numpy()
    return found, far


def _by_faiss(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    count: int,
    *,
    same: bool,
    weights: NDArray[np.float32] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """As `nearest`; None when faiss is not installed."""
    import numpy as np
    import torch

    try:
        import faiss
    except ModuleNotFoundError:
        return None
    faiss.omp_set_num_threads(torch.get_num_threads())
    if weights is not None:
        references = references * weights
    queries, references = np.ascontiguousarray(queries), np.ascontiguousarray(references)
    squares, found = faiss.knn(queries, references, count + int(same))
    if same:
        # A row finds itself, unless so many copies of it come first; then the last of them goes.
        drop = found == np.arange(len(found))[:, None]
        drop[:, -1] |= ~drop.any(axis=1)
        found, squares = (part[~drop].reshape(len(found), count) for part in (found, squares))
    norms = np.einsum("ij,ij->i", queries, queries)[:, None]
    return found.astype(np.int64, copy=False), np.asarray(squares - norms, dtype=np.float32)


def usable_device(device: str) -> torch.device:
    """The torch device of that name.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: This machine has no such device.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", extra="torch") from error
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"torch cannot use the device {device!r} here", where="device", next_step="use cpu, or cuda with its extra"
        ) from error
    return chosen
