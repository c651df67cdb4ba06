"""What the programs in the sandbox say, untrusted: taken in exactly the shape that `inside` gives it, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.artifacts.conversion.converted import ProvenTensor
from interlock.artifacts.conversion.proof import StopError
from interlock.artifacts.conversion.readings import Digests
from interlock.artifacts.record import shown
from interlock.gate.documents import unambiguous_json
from interlock.gate.values import Json, Verdict

LARGEST = 64 << 20
"""Bytes of an answer."""

_CONVERTED = "it was not converted"
_PROVEN = "the proof could not be made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the writer says beside the result.

    Args:
        aliases: Names that share the tensor of another name, to that name.
        left_out: Where something stands that was not converted, and what it is; the first of them.
        left_out_count: How many there are.
    """

    aliases: Mapping[str, str]
    left_out: tuple[tuple[str, str], ...]
    left_out_count: int

    def expected(self, tensors: Mapping[str, ProvenTensor]) -> dict[str, ProvenTensor]:
        """The tensors of the result under all of their names.

        Args:
            tensors: Of the result, by name.

        Raises:
            StopError: A further name is taken, or one of no tensor.
        """
        for name, kept in self.aliases.items():
            if name in tensors or kept not in tensors:
                raise _stop(_CONVERTED, f"the tied names {shown(name)!r} and {shown(kept)!r} do not fit the result")
        return {**tensors, **{name: replace(tensors[kept], name=name) for name, kept in self.aliases.items()}}


def read_written(place: Path) -> Written:
    """Read what `inside.convert` says.

    Args:
        place: Its report.

    Raises:
        StopError: It refuses, or says anything else.
    """
    match _answer(place, _CONVERTED):
        case {"aliases": dict(aliases), "left_out": list(left_out), "left_out_count": int(count)} if type(
            count
        ) is int and count >= len(left_out):
            return Written(
                aliases=dict(_texts([name, kept]) for name, kept in aliases.items()),
                left_out=tuple(map(_texts, left_out)),
                left_out_count=count,
            )
        case _:
            raise _misshapen(_CONVERTED)


def read_proven(place: Path, *, result: bool) -> tuple[Digests, Digests]:
    """Read what `inside.prove` says.

    Args:
        place: Its answer.
        result: Whether it read the result, too.

    Returns:
        What it found in the source, and in the result; the second one is empty without `result`.

    Raises:
        StopError: It refuses, or says anything else.
    """
    said = _answer(place, _PROVEN)
    if said.keys() != ({"source", "result"} if result else {"source"}):
        raise _misshapen(_PROVEN)
    return _digests(said["source"]), _digests(said.get("result", {}))


def _digests(said: Json) -> Digests:
    if not isinstance(said, dict):
        raise _misshapen(_PROVEN)
    return {name: _digest(one) for name, one in said.items()}


def _digest(said: Json) -> tuple[str, list[int], str]:
    match said:
        case [str(dtype), list(shape), str(digest)]:
            sizes = [size for size in shape if type(size) is int]
            if len(sizes) == len(shape):
                return dtype, sizes, digest
    raise _misshapen(_PROVEN)


def _answer(place: Path, what: str) -> dict[str, Json]:
    try:
        if place.is_symlink() or place.stat().st_size > LARGEST:
            raise _stop(what, "the sandbox's answer is no file, or too large")
        said = unambiguous_json(place.read_bytes())
    except (OSError, ValueError) as error:
        raise StopError(Verdict.UNDECIDED, f"{what}: the sandbox's answer cannot be read") from error
    match said:
        case {"refused": str(why)}:
            raise _stop(what, shown(why, 1000))
        case dict():
            return said
        case _:
            raise _misshapen(what)


def _texts(said: Json) -> tuple[str, str]:
    """Two texts that can be written as UTF-8."""
    match said:
        case [str(one), str(other)] if not any("\ud800" <= letter <= "\udfff" for letter in one + other):
            return one, other
        case _:
            raise _misshapen(_CONVERTED)


def _misshapen(what: str) -> StopError:
    return _stop(what, "the sandbox's answer is not of the shape that was asked for")


def _stop(what: str, why: str) -> StopError:
    return StopError(Verdict.UNDECIDED, f"{what}: {why}")
