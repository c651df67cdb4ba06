"""What Hugging Face's `datasets` writes beside the rows: features, and which shards are the dataset.

Read without that package: `dataset_info.json` and `state.json` as `Dataset.save_to_disk` writes them, and the key
``huggingface`` in the metadata of a schema, which Arrow and Parquet shards carry. All of it is untrusted: class names
only name classes in a report, and `state.json` only says which Arrow files are rows.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.gate import OpenSubject, SubjectError, UnsafeSubjectError
from interlock.poisoning.reading.limits import short

INFO, STATE, DICT = "dataset_info.json", "state.json", "dataset_dict.json"
MAX_CARD_BYTES = 16 * 2**20
MAX_NAMES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """What the cards of one folder say.

    Args:
        cards: The cards themselves, relative to the subject: they hold no rows.
        listed: The Arrow files that are the dataset, relative to the subject.
        names: Class names by column, from `dataset_info.json`.
    """

    cards: frozenset[str]
    listed: frozenset[str]
    names: Mapping[str, tuple[str, ...]]


def shards(opened: OpenSubject) -> dict[str, Shards]:
    """By folder: what `state.json` and `dataset_info.json` say, for each that `save_to_disk` wrote.

    Raises:
        SubjectError: A card cannot be read, or names a shard that is not there.
        UnsafeSubjectError: It names a file outside of its folder.
    """
    files = frozenset(opened.files)
    found = {}
    for state in (file for file in opened.files if posixpath.basename(file) == STATE):
        folder = posixpath.dirname(state)
        info = posixpath.join(folder, INFO)
        if info not in files:
            continue
        upper = posixpath.join(posixpath.dirname(folder), DICT)
        found[folder] = Shards(
            cards=frozenset({state, info, upper} & files),
            listed=_listed(opened, state, files),
            names=_class_names(_card(opened, info).get("features")),
        )
    return found


def class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Class names by column, from the metadata of an Arrow schema; nothing when there are none that can be used."""
    try:
        document = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return _class_names(document["info"]["features"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return {}


def _listed(opened: OpenSubject, state: str, files: frozenset[str]) -> frozenset[str]:
    card = _card(opened, state)
    if card.get("_indices_files") or card.get("_indices_data_files"):
        raise SubjectError(
            "the dataset is a selection of the rows of its shards",
            where=state,
            next_step="save it again after Dataset.flatten_indices()",
        )
    named = []
    for entry in card.get("_data_files") or ():
        name = entry.get("filename") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or "/" in name or name in ("", ".", ".."):
            raise UnsafeSubjectError(f"{short(str(name))!r} names no shard beside it", where=state)
        path = posixpath.join(posixpath.dirname(state), name)
        if path not in files:
            raise SubjectError(f"the shard {short(name)!r} is not there", where=state, next_step="copy it whole")
        named.append(path)
    if not named:
        raise SubjectError("it names no shards in `_data_files`", where=state, next_step="save the dataset again")
    return frozenset(named)


def _card(opened: OpenSubject, card: str) -> Mapping[str, Any]:
    path = opened.path / card
    if path.stat().st_size > MAX_CARD_BYTES:
        raise SubjectError(f"it has more than {MAX_CARD_BYTES} bytes", where=card)
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SubjectError("it is no JSON", where=card, next_step="save the dataset again") from error
    if not isinstance(document, dict):
        raise SubjectError("it is no JSON object", where=card, next_step="save the dataset again")
    return document


def _class_names(features: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(features, Mapping):
        return {}
    found = {}
    for column, feature in features.items():
        names = feature.get("names") if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and len(names) <= MAX_NAMES and all(isinstance(name, str) for name in names):
            found[str(column)] = tuple(names)
    return found
