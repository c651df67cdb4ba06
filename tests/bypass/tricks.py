"""The fourteen tricks, and what becomes of each at each level: the table that docs/enforcement.md tells in words.

Tricks 1 to 8, 13 and 14 are DAG files under ``dags/``; 9 to 12 are played on a sound DAG that runs. Each is tried at
each level that it names, on a real Airflow, with everything else out of the way as `tests.bypass.attack` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

LEVELS = ("open", "L0", "L1", "L2", "L3", "L4")
"""``open`` is no level: nothing holds, and the trick has to work, or its test would prove nothing."""


class Outcome(Enum):
    """What became of a trick; only `TRAINED` let the training run."""

    TRAINED = "trained"
    DENIED = "lint denied the file before it was merged"
    REFUSED = "the DAG was not loaded, and its author was told why"
    ABSENT = "the DAG was not loaded"
    QUARANTINED = "the training waits in the quarantine"
    GUARDED = "the guard in the training stayed shut"
    FORBIDDEN = "the API server did not let the training start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """One row of the table, or a variant of one.

    Args:
        number: Its row in the table.
        name: Its DAG file, or the name under which the sound DAG is installed for it.
        what: What is done, in one sentence.
        at: What becomes of it, by level.
    """

    number: int
    name: str
    what: str
    at: Mapping[str, Outcome]

    @property
    def stopped_by(self) -> tuple[str, ...]:
        """The levels that stop it, each by itself."""
        return tuple(level for level in LEVELS if level in self.at and self.at[level] is not Outcome.TRAINED)

    @property
    def passes(self) -> tuple[str, ...]:
        """The levels that do not."""
        return tuple(level for level in LEVELS[1:] if self.at.get(level) is Outcome.TRAINED)


_O = Outcome
_STRUCTURE = {
    "open": _O.TRAINED,
    "L0": _O.DENIED,
    "L1": _O.REFUSED,
    "L2": _O.QUARANTINED,
    "L3": _O.GUARDED,
    "L4": _O.FORBIDDEN,
}
_FAKED = {**_STRUCTURE, "L2": _O.TRAINED}
_UNSEEN = {**_STRUCTURE, "L1": _O.QUARANTINED}  # L1 lets it load, and L2, which is never out of the way there, holds it
_BY_HAND = {"L1": _O.GUARDED, "L2": _O.TRAINED, "L3": _O.GUARDED, "L4": _O.FORBIDDEN}
_OFF_THE_RECORD = {"L2": _O.TRAINED, "L3": _O.GUARDED}

TRICKS = (
    Trick(number=1, name="trick_01_trigger_rule_always", what="the training has trigger_rule=always", at=_STRUCTURE),
    Trick(number=2, name="trick_02_step_between", what="a step with all_done stands in between", at=_STRUCTURE),
    Trick(number=3, name="trick_03_gate_skipped", what="pre_execute skips the gate", at=_STRUCTURE),
    Trick(number=4, name="trick_04_teardown", what="the training is a teardown", at=_STRUCTURE),
    Trick(
        number=5,
        name="trick_05_callback",
        what="the gate's on_failure_callback trains: code that uses nothing protected is no step, and is seen as one"
        " only where it stands on a gate",
        at={**_STRUCTURE, "L3": _O.TRAINED, "L4": _O.TRAINED},
    ),
    Trick(number=6, name="trick_06_execute_replaced", what="the gate's execute is replaced", at=_FAKED),
    Trick(number=6, name="trick_06_same_name_subclass", what="a subclass under the gate's name", at=_FAKED),
    Trick(
        number=6,
        name="trick_06_class_patched",
        what="the gate's class is patched",
        at={**_FAKED, "L1": _O.GUARDED},
    ),
    Trick(
        number=6,
        name="trick_06_guard_patched",
        what="the guard's class is patched as well",
        at={"L0": _O.DENIED, "L3": _O.TRAINED, "L4": _O.FORBIDDEN},
    ),
    Trick(
        number=7,
        name="trick_07_other_on_worker",
        what="the gate does nothing on the worker",
        at={**_FAKED, "L1": _O.TRAINED},
    ),
    Trick(number=8, name="trick_08_policy_unregistered", what="the policy is unregistered, no gate", at=_UNSEEN),
    Trick(number=8, name="trick_08_settings_patched", what="airflow.settings is patched, no gate", at=_UNSEEN),
    Trick(number=9, name="trick_09_mark_single", what="the failed gate is marked success", at=_BY_HAND),
    Trick(number=9, name="trick_09_mark_bulk", what="the same by the bulk request", at=_BY_HAND),
    Trick(
        number=9,
        name="trick_09_mark_secure",
        what="the same, before SecureTrainOperator",
        at={"L3": _O.GUARDED, "L4": _O.FORBIDDEN},
    ),
    Trick(
        number=10,
        name="trick_10_clear",
        what="the training is cleared after the data changed",
        at={**_BY_HAND, "L4": _O.TRAINED},
    ),
    Trick(number=11, name="trick_11_tasks_test", what="airflow tasks test", at=_OFF_THE_RECORD),
    Trick(number=11, name="trick_11_dags_test", what="airflow dags test --mark-success-pattern", at=_OFF_THE_RECORD),
    Trick(
        number=12,
        name="trick_12_forged",
        what="another DAG writes the gate's XCom and Variables that name a weaker profile",
        at=_BY_HAND,
    ),
    Trick(
        number=13,
        name="trick_13_executor_config",
        what="executor_config asks for a GPU and another image",
        at={level: outcome for level, outcome in _STRUCTURE.items() if level != "L3"},
    ),
    Trick(
        number=13,
        name="trick_13_queue_of_others",
        what="a queue whose workers lack Interlock",
        at={level: outcome for level, outcome in _STRUCTURE.items() if level != "L3"},
    ),
    Trick(number=14, name="trick_14_dynamic", what="the DAG is made by a factory", at=_STRUCTURE),
    Trick(
        number=14,
        name="trick_14_skipped",
        what="a policy of the author's drops the DAG",
        at={"L0": _O.DENIED, "L1": _O.ABSENT},
    ),
    Trick(
        number=14, name="trick_14_ignored", what=".airflowignore names the file", at={"L0": _O.DENIED, "L1": _O.ABSENT}
    ),
)
"""In the order of the table. A worker without Interlock (13) runs no guard, so that row has no L3."""

PLAYED = {trick.name for trick in TRICKS if 9 <= trick.number <= 12}
"""Tricks that are played on a sound DAG."""
