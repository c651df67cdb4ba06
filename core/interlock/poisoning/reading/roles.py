"""What each column of one table is: checked once against its schema, before a row is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from interlock.gate import SubjectError
from interlock.poisoning.batches import Columns
from interlock.poisoning.reading.limits import check_width, no_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The columns that are read.

    Args:
        features: Of numbers, in order; empty when an image or an embedding is the features.
        categories: Of text that is nothing else.
        wanted: All that are read, each once.
    """

    features: tuple[str, ...]
    categories: tuple[str, ...]
    wanted: tuple[str, ...]

    @classmethod
    def of(cls, schema: Any, shown: str, columns: Columns) -> Roles:
        """The roles of the columns of one file.

        Args:
            schema: Its Arrow schema, untrusted.
            shown: Its name for people.
            columns: What the user says of them.

        Raises:
            SubjectError: A column is not there, stands twice, or cannot be what it is named as.
            UnsafeSubjectError: There are too many.
        """
        have = list(schema.names)
        twice = sorted(name for name, count in Counter(have).items() if count > 1)
        if twice:
            raise SubjectError(f"column {twice[0]!r} stands twice", where=shown, next_step="rename one of them")
        if columns.label is None and not columns.texts:
            raise SubjectError(
                "no column is named as the label", where=shown, next_step=f"name it with `label`; {_some(have)}"
            )
        for name in columns.named:
            _check_named(schema, name, shown, columns)
        features = _features(schema, shown, columns)
        categories = _categories(schema, columns) if columns.by_default else ()
        return cls(features=features, categories=categories, wanted=(*columns.named, *features, *categories))


def _some(have: list[str]) -> str:
    return f"the file has {', '.join(have[:8])}{', ...' if len(have) > 8 else ''}"


def _check_named(schema: Any, name: str, shown: str, columns: Columns) -> None:
    """Refuse a named column that is not there or cannot be what it is named as."""
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published

    role = columns.role(name)
    if name not in schema.names:
        raise no_column(name, role, list(schema.names), shown)
    kind = schema.field(name).type
    if role == "image":
        if not is_image(kind):
            raise SubjectError(f"image column {name!r} holds {kind}, neither paths nor bytes", where=shown)
    elif role == "embedding":
        if not (is_list(kind) and is_numeric(kind.value_type)):
            raise SubjectError(f"embedding column {name!r} holds {kind}, not lists of numbers", where=shown)
    elif role == "text":
        check_text(name, kind, shown)
    elif pa.types.is_nested(kind):
        raise SubjectError(f"the {role} column {name!r} holds lists or records, not {role}s", where=shown)


def _features(schema: Any, shown: str, columns: Columns) -> tuple[str, ...]:
    if columns.features is not None:
        for name in columns.features:
            if name not in schema.names:
                raise no_column(name, "feature", list(schema.names), shown)
            if not is_numeric(schema.field(name).type):
                raise no_numbers(name, schema.field(name).type, shown)
        names = columns.features
    elif columns.by_default:
        names = tuple(
            name for name in schema.names if name not in columns.named and is_numeric(schema.field(name).type)
        )
    else:
        return ()
    # One column of text is more likely a document than a category; a table of categories has several.
    if not names and not columns.texts and (not columns.by_default or len(_categories(schema, columns)) < 2):
        raise _no_features(schema, shown, columns)
    check_width(len(names), shown, columns)
    return names


def _no_features(schema: Any, shown: str, columns: Columns) -> SubjectError:
    """Nothing to look at; says which option would name what there is."""
    others = [name for name in schema.names if name not in columns.named]
    step = "name feature columns with `features`"
    for option, fits in (("embedding", is_list), ("image", _is_bytes), ("text", is_text)):
        step = next((f"name {name!r} with `{option}`" for name in others if fits(schema.field(name).type)), step)
    return SubjectError("no numeric column is left beside the label", where=shown, next_step=step)


def no_numbers(name: str, kind: Any, shown: str) -> SubjectError:
    """The error for a feature column that holds something else."""
    return SubjectError(
        f"feature column {name!r} holds {kind}, not numbers",
        where=shown,
        next_step="encode it as numbers, or leave it out of `features`",
    )


def _categories(schema: Any, columns: Columns) -> tuple[str, ...]:
    """Columns of text that are nothing else."""
    return tuple(name for name in schema.names if name not in columns.named and is_text(schema.field(name).type))


def left_out(schema: Any, columns: Columns) -> tuple[str, ...]:
    """Columns that nobody looks at because they hold neither numbers nor text; none when features are named."""
    if not columns.by_default:
        return ()
    kinds = {name: schema.field(name).type for name in schema.names if name not in columns.named}
    return tuple(name for name, kind in kinds.items() if not is_numeric(kind) and not is_text(kind))


def is_text(kind: Any) -> bool:
    """True for a column whose values are texts."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def check_text(name: str, kind: Any, shown: str) -> None:
    """Refuse a column that is no running text: neither texts, nor lists of them, nor conversations.

    Args:
        name: Of the column.
        kind: Its Arrow type, untrusted.
        shown: The file's name for people.

    Raises:
        SubjectError: It holds something else.
    """
    import pyarrow as pa

    if not (is_text(kind) or is_turns(kind) or pa.types.is_null(kind)):
        raise SubjectError(f"text column {name!r} holds {kind}, not text", where=shown)


def is_turns(kind: Any) -> bool:
    """True for lists of texts, and for lists of records with a ``content``: the turns of a conversation."""
    import pyarrow as pa

    if not is_list(kind):
        return False
    turn = kind.value_type
    if pa.types.is_struct(turn):
        fields = {turn.field(place).name: turn.field(place).type for place in range(turn.num_fields)}
        turn = fields.get("content", turn)
    return is_text(turn) or bool(pa.types.is_null(turn))


def is_numeric(kind: Any) -> bool:
    """True for what can be cast to float32 with its meaning kept."""
    import pyarrow as pa

    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)
    return any(check(kind) for check in checks)


def is_list(kind: Any) -> bool:
    """True for lists, of any length or of one."""
    import pyarrow as pa

    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in checks)


def is_image(kind: Any) -> bool:
    """True for paths, bytes, and Hugging Face's record of both."""
    return is_text(kind) or _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    """True for bytes, alone or in a record ``{bytes, path}``."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        names = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
        path, content = names.get("path", pa.string()), names.get("bytes", pa.binary())
        return bool(names) and set(names) <= {"bytes", "path"} and is_text(path) and _is_bytes(content)
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(check(kind) for check in checks) or bool(pa.types.is_null(kind))
