"""joblib's pickles: the bytes of an array stand in the stream, behind the BUILD of the wrapper that describes it.

``joblib.numpy_pickle`` (joblib 1.6) dumps a `NumpyArrayWrapper` in place of an array, ends the frame, and writes the
elements: a byte that counts the padding, the padding (0xff), the elements; or, for an array of objects, a pickle of
its own. `joblib.load` reads them at BUILD and goes on behind. Files of joblib 1.1 and before have no padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.contents import Array
from interlock.artifacts.pickles.in_a_row import Row
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.kinds import LARGEST, element_count, element_size, kind_of, sizes_of
from interlock.artifacts.pickles.plain_judge import PlainJudge
from interlock.artifacts.pickles.text import MalformedError
from interlock.artifacts.pickles.values import DictValue, Span, Value
from interlock.artifacts.record import Record

if TYPE_CHECKING:
    from interlock.artifacts.pickles.walk import PickleWalk


def read_array(walk: PickleWalk, state: object, at: int) -> int:
    """Go over the array that stands at `at`, and put it in the place of its wrapper.

    Args:
        walk: The machine, the wrapper on top of its stack.
        state: What the wrapper was built with.
        at: Offset after BUILD.

    Returns:
        Offset after the array.

    Raises:
        MalformedError: No array can be read there.
    """
    walk.judge.interleaved = True
    if not walk.arrays:
        if walk.strict:
            raise MalformedError("an array wrapper where joblib reads no array")
        return at
    known = state.known if isinstance(state, DictValue) else None
    shape = sizes_of(known.get("shape")) if known else None
    if known is None or shape is None:
        raise MalformedError("an array wrapper that does not say what array follows")
    _end_frame(walk, at)
    size = element_size(known["dtype"])
    if size is None:
        if known["allow_mmap"]:
            raise MalformedError("an array of objects that may be mapped")
        return _nested(walk, at)
    start = at if known.get("numpy_array_alignment_bytes") is None else _padding(walk, at)
    needed = element_count(shape) * size
    if not size or needed > LARGEST:
        raise MalformedError("an array of elements without a size, or larger than any can be")
    _read_by_others(walk, at)
    walk.stack[-1] = Value("ndarray", fact=_described(walk, known, shape, start, needed))
    return walk.raw(start, needed)


def _described(
    walk: PickleWalk, known: Mapping[str, object], shape: tuple[int, ...], start: int, size: int
) -> Array | None:
    """What the rules of a profile that looks into arrays get to know of it."""
    if not walk.contents:
        return None
    return Array(known["dtype"], shape, fortran=known["order"] == "F", content=Span(walk.data, start, size))


def _end_frame(walk: PickleWalk, at: int) -> None:
    """The array is read from the file, so a frame that goes on behind BUILD would be read after it."""
    if walk.frame_end not in {0, at}:
        raise MalformedError("an array in the middle of a frame")
    walk.frame_end = 0


def _padding(walk: PickleWalk, at: int) -> int:
    start = walk.raw(at, 1)
    length = walk.data[at]
    following = walk.raw(start, length)
    if walk.data[start:following] != b"\xff" * length:
        raise MalformedError("padding before an array that joblib does not write")
    return following


def _nested(walk: PickleWalk, at: int) -> int:
    _read_as_one(walk, at)
    inner = walk.plain(at)
    end = inner.run()
    if not end.stopped or end.problem:
        raise MalformedError(f"an array of objects that is no whole pickle: {end.problem}")
    if kind_of(inner.result) != "ndarray":
        raise MalformedError("an array of objects whose pickle is no array")
    walk.stack[-1] = inner.result
    return end.position


def _read_as_one(walk: PickleWalk, at: int) -> None:
    """Plain `pickle.load` reads on into the pickle of an array of objects, with the memo that it has by then.

    So the same opcodes take other values from the memo. With those that joblib writes it fails; it must not act.
    """
    if not walk.strict:
        return
    walk.budget.check_time()
    scratch = Record(walk.budget)
    scratch.sizes = walk.judge.record.sizes
    row = Row(walk.continued(at, PlainJudge(walk.judge.profile, scratch, walk.judge.path)), allowing=True)
    if row.gap:
        raise LimitPassedError(row.gap)
    if scratch.findings:
        walk.judge.record.merge(scratch)
    if scratch.refused:
        walk.judge.record.error(
            rules.POLYGLOT, "an array of objects that means something else in plain pickle.load", walk.judge.path, at
        )


def _read_by_others(walk: PickleWalk, at: int) -> None:
    """Plain `pickle.load` takes the array's bytes for opcodes and goes on with them.

    The padding count is no opcode, so it stops there; without padding the elements decide, which name no module
    by accident.
    """
    if not walk.strict or at >= walk.end or not walk.starts_opcode(at):
        return
    walk.budget.check_time()
    scratch = Record(walk.budget)
    row = Row(walk.continued(at, Judge(walk.judge.profile, scratch, walk.judge.path)))
    if row.gap:
        raise LimitPassedError(row.gap)
    if row.acts or row.named_a_global:
        walk.judge.record.merge(scratch)
        walk.judge.record.error(
            rules.POLYGLOT, "an array whose bytes are opcodes that act in plain pickle.load", walk.judge.path, at
        )
