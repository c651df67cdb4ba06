"""Reads the pickles that stand behind each other, as somebody does who loads until the file is over.

There is more than one way to do that. `pickle.load` begins anew each time. One unpickler that is asked again keeps its
memo (``Unpickler.load`` of ``Modules/_pickle.c`` empties the stack only), so that a pickle may call what one before it
named. And a frame is taken from the file whole: if STOP stands inside of it, what most readers read next stands behind
its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.artifacts.limits import LimitPassedError

if TYPE_CHECKING:
    from interlock.artifacts.pickles.walk import PickleWalk, WalkEnd

MOST_IN_A_ROW = 1_000
"""Pickles behind each other that are looked at where the bytes are something else first."""


class Row:
    """Pickles in a row, of which one acts or none.

    Args:
        first: The walk of the first, not run yet; its judge is of the kind that judges the others.
        allowing: What the profile allows is no act.

    `first` says how that one ended, None when the row was not read to its end, and then `gap` says why.
    `named_a_global` and `called` are what any of them did, `acts` that one did both, or the row does for one unpickler.
    """

    def __init__(self, first: PickleWalk, *, allowing: bool = False) -> None:
        self._allowing = allowing
        self._cut_a_frame = False
        self.first: WalkEnd | None = None
        self.named_a_global = False
        self.called = False
        self.acts = False
        self.gap = ""
        try:
            reached = self._walked(first, named=False)
            self.first = reached
            for one_reader in (False, True):
                self._read_on(first, reached, one_reader=one_reader, whole_frames=False)
                if self._cut_a_frame:
                    self._read_on(first, reached, one_reader=one_reader, whole_frames=True)
        except LimitPassedError as error:
            self.first, self.gap = None, str(error)

    def _read_on(self, walk: PickleWalk, reached: WalkEnd, *, one_reader: bool, whole_frames: bool) -> None:
        named = walk.judge.named_a_global
        for _ in range(MOST_IN_A_ROW):
            following = max(reached.position, walk.framed) if whole_frames else reached.position
            if self.acts or not reached.stopped or following >= walk.end:
                return
            judge = type(walk.judge)(walk.judge.profile, walk.judge.record, walk.judge.path)
            walk = walk.behind(following, judge, walk.memo if one_reader else {})
            # With nothing in the memo the second way is the first.
            reached = self._walked(walk, named=named and bool(walk.memo))
            named = named or walk.judge.named_a_global
        raise LimitPassedError(f"more than {MOST_IN_A_ROW:,} pickles in a row")

    def _walked(self, walk: PickleWalk, *, named: bool) -> WalkEnd:
        """Walk one of them; `named`: what a pickle before it named may stand in its memo."""
        judge = walk.judge
        try:
            end = walk.run()
        finally:
            self.named_a_global |= judge.named_a_global
            self.called |= judge.called
            acts = judge.acts or (named and judge.called)
            self.acts |= acts and (judge.refusals > 0 or not self._allowing)
        self._cut_a_frame |= end.stopped and walk.framed > end.position
        if len(walk.memo) > walk.budget.limits.values:
            raise LimitPassedError(
                f"pickles in a row that hold more than {walk.budget.limits.values:,} values at a time"
            )
        return end
