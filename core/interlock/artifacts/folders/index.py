"""Checks the index of weights that are split over several files (``model.safetensors.index.json``).

The index maps the name of each tensor to the file that holds it. What it says has to be true of the folder, or the
bytes that are loaded are not the ones that were looked at.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath

from interlock.artifacts import record as rules
from interlock.artifacts.formats.config_file import leaves_folder
from interlock.artifacts.formats.config_tree import Pairs
from interlock.artifacts.record import Record, shown


def check_index(document: Pairs, *, path: str, present: frozenset[str], record: Record) -> None:
    """Compare an index with the folder and with the headers of its safetensors files.

    Args:
        document: The index; unverified.
        path: Its name.
        present: The names of all files of the subject.
        record: What was read of them; findings are added to it.
    """
    weight_map = document.get("weight_map")
    if not isinstance(weight_map, Pairs) or not all(isinstance(shard, str) for _, shard in weight_map.items):
        record.error(rules.WEIGHT_INDEX, "weight_map that does not map tensors to file names", path)
        return
    if len(set(weight_map.keys())) != len(weight_map.items):
        record.error(rules.WEIGHT_INDEX, "weight_map with a tensor twice, of which readers take either file", path)
    shards: dict[str, set[str]] = defaultdict(set)
    for tensor, shard in weight_map.items:
        shards[shard].add(tensor)
    for shard, tensors in sorted(shards.items()):
        if leaves_folder(shard):
            message = "weight_map names a file outside of the folder"
            record.error(rules.OUTSIDE_PATH, message, path, key="weight_map", value=shown(shard, 400))
            continue
        _check_shard(shard, tensors, path, present, record)


def _check_shard(shard: str, tensors: set[str], path: str, present: frozenset[str], record: Record) -> None:
    name = shown(str(PurePosixPath(path).parent / shard), 1000)
    if name not in present:
        record.error(rules.WEIGHT_INDEX, f"weight_map names {shown(shard)}, which is not in the folder", path)
        return
    held = record.tensors.get(name)
    if held is None:  # not a safetensors file, or a broken one, of which the scan said so
        return
    missing, unlisted = sorted(tensors - held), sorted(held - tensors)
    if missing:
        message = f"weight_map promises {len(missing):,} tensors in {shown(shard)} that it does not hold"
        record.error(rules.WEIGHT_INDEX, message, path, file=shown(shard), first=shown(missing[0]))
    if unlisted:
        message = f"{shown(shard)} holds {len(unlisted):,} tensors that weight_map does not name"
        record.warning(rules.WEIGHT_INDEX, message, path, file=shown(shard), first=shown(unlisted[0]))
