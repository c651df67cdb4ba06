"""Scans CatBoost's binary models (``.cbm``): features, trees, tables of categories, and what stands in the metadata.

Layout: CatBoost 1.2, ``TFullModel::Load`` (``catboost/libs/model/model.cpp``) and the schemas in
``catboost/libs/model/flatbuffers``: a magic number, a size, a `FlatBuffer` ``TModelCore``, and the parts that it names.
The library checks the first `FlatBuffer` by its verifier and the tables of categories by nothing
(``TCtrValueTable::LoadSolid``), and it follows the indices in both.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.catboost_tables import ctr_base, read_tables
from interlock.artifacts.formats.catboost_trees import (
    Ctr,
    CtrBase,
    Features,
    Position,
    Trees,
    check_features,
    check_trees,
    packed_splits,
)
from interlock.artifacts.formats.flatbuffers import FlatBuffer, MalformedBufferError, Table
from interlock.artifacts.formats.smuggled import hidden_code
from interlock.artifacts.formats.trees import MalformedTreesError
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_VERSION: Final = b"FlabuffersModel_v1"
_TABLES_PART: Final = b"static_provider_v1"
_NAN_TREATMENTS: Final = range(3)


def scan_catboost(data: Buffer, *, path: str, record: Record) -> None:
    """Check a model.

    Raises:
        LimitPassedError: It has parts for texts or embeddings, which are not read here, or is too large to be held.
    """
    record.looked(path)
    try:
        _check(data, path, record)
    except (MalformedTreesError, MalformedBufferError) as error:
        record.error(rules.MALFORMED_TREES, f"no CatBoost model that can be trusted: {error}", path)


def _check(data: Buffer, path: str, record: Record) -> None:
    size = int.from_bytes(data[4:8], "little")
    if len(data) < 8 or 8 + size > len(data):
        raise MalformedTreesError("cut off")
    record.budget.hold_member(size)
    core = FlatBuffer(data, 8, 8 + size, record.budget).root()
    if core.text(0) != _VERSION:
        raise MalformedTreesError("a version that the library does not read")
    _check_metadata(core, path, record)
    parts = core.texts(3)
    if unread := [part for part in parts if part != _TABLES_PART]:
        name = shown(unread[0].rstrip(b"\0").decode("utf-8", "replace"), 60)
        raise LimitPassedError(f"a CatBoost model with the part {name!r}, for texts or embeddings, is not read here")
    if len(parts) > 1:
        raise MalformedTreesError("tables of categories twice")
    at = 8 + size
    tables: dict[CtrBase, int] = {}
    if parts:
        tables, at = read_tables(data, at, record.budget)
    if at != len(data):
        raise MalformedTreesError(f"{len(data) - at:,} bytes behind its end")
    found = core.table(1)
    if found is None:
        return
    features = _features(found)
    check_features(features, tables, record.budget)
    trees = _trees(found)
    check_trees(trees, features, record.budget)
    _check_derived(found, trees, features)


def _check_metadata(core: Table, path: str, record: Record) -> None:
    seen: set[bytes] = set()
    for entry in core.tables(2):
        key, value = entry.text(0), entry.text(1)
        if key is None or value is None or key in seen:
            raise MalformedTreesError("metadata without a key or a value, or with a key twice")
        seen.add(key)
        if problem := hidden_code(value, source=False):
            name = shown(key.decode("utf-8", "replace"), 60)
            record.error(rules.HIDDEN_CODE, f"the metadata value {name} {problem}", path)


def _features(found: Table) -> Features:
    if found.count(13, 4):
        raise LimitPassedError("a CatBoost model with features made of texts or embeddings is not read here")
    floats = found.tables(5)
    borders = tuple(feature.numbers(3, "f") for feature in floats)
    if any(feature.whole(5, "b") not in _NAN_TREATMENTS for feature in floats):
        raise MalformedTreesError("a float feature that takes missing values in no known way")
    return Features(
        floats=tuple(
            Position(index=feature.whole(1, "i", -1), flat=feature.whole(2, "i", -1), used=bool(held))
            for feature, held in zip(floats, borders, strict=True)
        ),
        borders=borders,
        categories=tuple(
            Position(
                index=feature.whole(0, "i", -1), flat=feature.whole(1, "i", -1), used=bool(feature.whole(3, "B", 1))
            )
            for feature in found.tables(4)
        ),
        one_hots=tuple((feature.whole(0, "i", -1), feature.count(1, 4)) for feature in found.tables(6)),
        ctrs=tuple(_ctr(feature) for feature in found.tables(7)),
    )


def _ctr(feature: Table) -> Ctr:
    ctr = feature.table(0)
    base = ctr.table(0) if ctr else None
    if ctr is None or base is None:
        raise MalformedTreesError("a feature made of categories that does not say of which")
    return Ctr(base=ctr_base(base), target_border=ctr.whole(1, "i"), borders=feature.count(1, 4))


def _trees(found: Table) -> Trees:
    return Trees(
        dimension=found.whole(0, "i"),
        splits=found.numbers(1, "i"),
        sizes=found.numbers(2, "i"),
        steps=found.numbers(10, "H", each=2),
        leaves=found.numbers(11, "I"),
        values=found.count(8, 8),
        weights=found.count(9, 8),
    )


def _check_derived(found: Table, trees: Trees, features: Features) -> None:
    """What follows from the rest and stands in the file all the same, for who maps it instead of loading it."""
    begin = 0
    starts = []
    for size in trees.sizes:
        starts.append(begin)
        begin += size
    if list(found.numbers(3, "i")) != starts:
        raise MalformedTreesError("trees that begin elsewhere than where the one before ends")
    if found.count(16, 8) not in (0, trees.dimension):
        raise MalformedTreesError("a bias of another dimension than its leaves")
    raw = found.raw(17, 4)
    held = [(int.from_bytes(raw[at : at + 2], "little"), raw[at + 2], raw[at + 3]) for at in range(0, len(raw), 4)]
    if held and sum(features.counts()) and held != packed_splits(trees, features):
        raise MalformedTreesError("packed splits that are not those of its trees")
