"""Scans LightGBM's text models: each tree one tree, its columns of one length, its children inside of it.

Layout: LightGBM 4.6, ``GBDT::SaveModelToString`` and ``Tree::ToString``. The library reads the lists with the length
that the file says and follows the indices unchecked. Lines between trees that are unknown are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from interlock.artifacts import record as rules
from interlock.artifacts.formats.trees import MalformedTreesError
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown

_START = "tree\nversion="
_SPLIT_COLUMNS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
                  "internal_value", "internal_weight", "internal_count")  # fmt: skip
_LEAF_COLUMNS = ("leaf_value", "leaf_weight", "leaf_count")
_LARGEST = 1 << 31


def looks_like_lightgbm(text: str) -> bool:
    """Whether a text is a model of LightGBM."""
    return text.startswith(_START)


def scan_lightgbm(text: str, *, path: str, record: Record) -> None:
    """Check a model.

    Raises:
        LimitPassedError: It has trees with linear leaves, which are not read here, or the time is over.
    """
    try:
        _check(text, record)
    except MalformedTreesError as error:
        record.error(rules.MALFORMED_TREES, f"no LightGBM model that can be trusted: {error}", path)
    record.looked(path)


def _check(text: str, record: Record) -> None:
    head, *trees = text.split("\nTree=")
    general = dict(_fields(head.removeprefix("tree\n")))
    features = _whole(general, "max_feature_idx") + 1
    sizes = general.get("tree_sizes", "").split()
    if not trees or len(sizes) != len(trees) or "\nend of trees\n" not in trees[-1]:
        raise MalformedTreesError(f"{len(trees):,} trees where it says it has {len(sizes):,}, or no end of them")
    # Behind the end are names and parameters, which the library shows and never obeys.
    trees[-1] = trees[-1].split("\nend of trees\n", 1)[0]
    for number, tree in enumerate(trees):
        record.budget.check_time()
        name, _, body = tree.partition("\n")
        if name != str(number):
            raise MalformedTreesError(f"tree {number:,} is named {shown(name, 40)!r}")
        try:
            _check_tree(dict(_fields(body)), features)
        except MalformedTreesError as error:
            raise MalformedTreesError(f"tree {number:,}: {error}") from error


def _fields(text: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not line or line == "average_output":
            continue
        if not equals or name in seen:
            raise MalformedTreesError(f"the line {shown(line, 60)!r} is unknown, or there twice")
        seen.add(name)
        yield name, value


def _check_tree(tree: Mapping[str, str], features: int) -> None:
    leaves, categories = _whole(tree, "num_leaves"), _whole(tree, "num_cat")
    if tree.get("is_linear", "0") != "0":
        raise LimitPassedError("LightGBM trees with linear leaves are not read here")
    if leaves < 1:
        raise MalformedTreesError("no leaves")
    if leaves == 1:
        if len(tree.get("leaf_value", "").split()) != 1:
            raise MalformedTreesError("one leaf without its value")
        return
    columns = {name: tree.get(name, "").split() for name in (*_SPLIT_COLUMNS, *_LEAF_COLUMNS)}
    for name, column in columns.items():
        wanted = leaves if name in _LEAF_COLUMNS else leaves - 1
        if len(column) != wanted and (column or name in ("leaf_value", *_SPLIT_COLUMNS[:6])):
            raise MalformedTreesError(f"{len(column):,} entries of {name} where it needs {wanted:,}")
    if any(not 0 <= feature < features for feature in _wholes(columns["split_feature"])):
        raise MalformedTreesError(f"a feature that is none of {features:,}")
    _check_children(_wholes(columns["left_child"]) + _wholes(columns["right_child"]), leaves)
    _check_categories(tree, columns, categories)


def _check_children(children: list[int], leaves: int) -> None:
    """A split has its number, a leaf the complement of its own; each but the root is somebody's only once."""
    if sorted(children) != [*range(-leaves, 0), *range(1, leaves - 1)]:
        raise MalformedTreesError("children outside of the tree, or of several nodes")
    inner = leaves - 1
    if any(0 <= child <= index % inner for index, child in enumerate(children)):
        raise MalformedTreesError("a child that stands before its parent")


def _check_categories(tree: Mapping[str, str], columns: Mapping[str, list[str]], count: int) -> None:
    by_category = [
        place for kind, place in zip(_wholes(columns["decision_type"]), columns["threshold"], strict=True) if kind & 1
    ]
    if any(not 0 <= place < count for place in _wholes(by_category)):
        raise MalformedTreesError(f"a split by a category that is none of {count:,}")
    if count:
        bounds = _wholes(tree.get("cat_boundaries", "").split())
        held = len(tree.get("cat_threshold", "").split())
        if len(bounds) != count + 1 or bounds != sorted(bounds) or bounds[0] != 0 or bounds[-1] != held:
            raise MalformedTreesError("categories that are not where it says")


def _whole(fields: Mapping[str, str], name: str) -> int:
    return _wholes([fields.get(name, "")])[0]


def _wholes(texts: list[str]) -> list[int]:
    found = []
    for text in texts:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) < _LARGEST):
            raise MalformedTreesError(f"{shown(text, 40)!r} where a whole number has to be")
        found.append(int(text))
    return found
