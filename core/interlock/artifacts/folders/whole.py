"""Looks at a model folder as a whole: whether its files agree, and which of them a loader would take.

Works on what the scan of each file recorded, so on formats by content; nothing is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.config_tree import Pairs
from interlock.artifacts.record import Record, shown

_PICKLES: Final = frozenset({"pickle", "torch-zip", "torch-legacy", "torch-tar"})
_GENERATE: Final = "custom_generate/generate.py"


def look_at_folder(files: Sequence[str], record: Record) -> None:
    """Add what speaks against a folder of files that were scanned into `record`.

    Args:
        files: Their names as they stand in the record, relative to the folder, with forward slashes.
        record: What their scans said; findings are added to it.
    """
    present = frozenset(files)
    for path, document in sorted(record.documents.items()):
        if path in present:
            if document.get("weight_map") is not None:
                from interlock.artifacts.folders.index import check_index

                check_index(document, path=path, present=present, record=record)
            if document.get("_class_name") is not None:
                _check_pipeline(document, path, present, record)
    for name in sorted(present):
        if name == _GENERATE or name.endswith(f"/{_GENERATE}"):
            message = "transformers runs this file to generate, once it is told to trust the model's code"
            record.error(rules.REMOTE_CODE, message, name, key="custom_generate")
    _check_formats(present, record)


def _check_pipeline(document: Pairs, path: str, present: frozenset[str], record: Record) -> None:
    """Here diffusers prefers a Python file of the folder to the package that a component names."""
    folder = PurePosixPath(path).parent
    for component, value in document.items:
        module = value[0] if isinstance(value, list) and value and isinstance(value[0], str) else None
        for candidate in (folder / f"{module}.py", folder / component / f"{module}.py") if module else ():
            if str(candidate) in present:
                message = f"{shown(component, 60)} makes diffusers run {shown(str(candidate))}"
                record.error(rules.REMOTE_CODE, message, path, key=shown(component, 60))


def _check_formats(present: frozenset[str], record: Record) -> None:
    """A loader that cannot or does not want to read safetensors falls back to a pickle that stands beside them."""
    folders: dict[str, dict[bool, str]] = {}
    for name in sorted(present):
        form = record.formats.get(name)
        if form == "safetensors" or form in _PICKLES:
            folders.setdefault(str(PurePosixPath(name).parent), {}).setdefault(form in _PICKLES, name)
    for folder in folders.values():
        if len(folder) == 2:
            message = f"loaders fall back to this pickle where they do not take {folder[False]}: keep one of them"
            record.warning(rules.SEVERAL_WEIGHTS, message, folder[True], safetensors=folder[False])
