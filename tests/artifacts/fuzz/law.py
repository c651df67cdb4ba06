"""The law: what the scan says nothing against, no loader may use to name or call anything outside of the profile."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from tests.artifacts.oracle_client import Oracle, refused_by_law

from interlock.artifacts import Limits
from interlock.artifacts.limits import Budget
from interlock.artifacts.pickles.profiles import PROFILES, profile_named
from interlock.artifacts.record import Record
from interlock.artifacts.scan import scan_bytes

LOADERS = ("-m", "tests.artifacts.fuzz.loaders")
LIMITS = Limits(seconds=10)


class Said(Enum):
    """What the scan made of a file."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNDECIDED = "undecided"


class BrokenLawError(AssertionError):
    """A mutant for which the law does not hold; `str()` says which loader would do what."""


def scanned(data: bytes, profile: str) -> tuple[Said, str]:
    """What the walk alone says, without the second layer, and the format that it recognises."""
    record = Record(Budget(LIMITS))
    form = scan_bytes(data, "model", profile=profile_named(profile), record=record)
    if record.refused:
        return Said.REFUSED, form
    return (Said.UNDECIDED if record.failed else Said.ALLOWED), form


def hold(data: bytes, profile: str, oracle: Oracle) -> tuple[Said, bool]:
    """Scan a file, and ask the loaders about it where nothing speaks against it.

    Args:
        data: The file.
        profile: Under which it is scanned.
        oracle: Runs `LOADERS`.

    Returns:
        What the scan said, and whether the file ended the loaders, so that nobody knows what they would do.

    Raises:
        BrokenLawError: The scan allows what a loader would use for something outside of the profile.
    """
    said, form = scanned(data, profile)
    if said is not Said.ALLOWED:
        return said, False
    answer = oracle.ask(data)
    readings = answer.get("readings", ())
    hows = {str(reading["how"]) for reading in readings}
    for reading in readings:
        plain = str(reading["how"]).removeprefix("raw") + "joblib" in hows
        if _breaks(_without_dtypes(reading, profile) if plain else reading, form, profile):
            raise BrokenLawError(f"allowed as {form}, and {reading['how']} would: {reading}")
    return said, answer["error"] == "killed"


def _without_dtypes(reading: Mapping[str, Any], profile: str) -> Mapping[str, Any]:
    """Dumps of joblib make plain `pickle.load` ask some module for its ``dtype``: numpy's, or none (`PlainJudge`)."""
    known = {module for module, _ in PROFILES[profile].table}

    def counts(pair: Sequence[str]) -> bool:
        module, name = pair
        imports = "." in module or module in sys.stdlib_module_names
        return name != "dtype" or (imports and module not in known)

    return {
        **reading,
        "names": [pair for pair in reading["names"] if counts(pair)],
        "calls": [pair for pair in reading["calls"] if counts(pair)],
    }


def _breaks(reading: Mapping[str, Any], form: str, profile: str) -> bool:
    how = str(reading["how"])
    # What no loader takes for a pickle has to act to be one: a text may well begin as an import of a module.
    surely = (how == "raw" and form in {"pickle", "torch-legacy"}) or how.endswith(("data.pkl/", "numpy/", "joblib"))
    # An unpickler that meets the end in the middle of a class takes its name for empty, and no module has such a name.
    calls = [pair for pair in reading["calls"] if surely or pair[1]]
    if not surely and not calls:
        return False
    names = [pair for pair in reading["names"] if profile != "torchscript" or not pair[0].startswith("__torch__")]
    if not surely:
        names = [
            pair for pair in names if pair[0].isprintable() and " " not in pair[0] and pair[1]
        ]  # no module, but a line of text
    answer = {"names": names, "calls": calls, "touched": reading["touched"]}
    return refused_by_law(answer, profile, storages=form.startswith("torch"))
