"""What a training pickled: scanned, and converted to safetensors with proof; or kept, and then scanned all the same.

A file is taken by its content, whatever its name. What `torch.save` wrote becomes a safetensors file beside it, if the
artifact scan has nothing against it and every tensor is proven to be the same; then the pickle goes. Any other pickle
keeps the whole output from leaving, because whoever reads a pickle runs what it says. A step that keeps its pickles
weakens that: they leave as they are, where some profile of the artifact scan has nothing against them, and the receipt
names each.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Finding, Gap, Json, Level, Measure, Opener, OpenSubject, Subject, Tool, Verdict
from interlock.gate.values import Location
from interlock.training.safeguards import IdleSafeguard, Part
from interlock.training.sandbox import Ended

if TYPE_CHECKING:
    from interlock.artifacts.conversion.converted import Converted
    from interlock.artifacts.record import Record

PROFILE = "torch-checkpoint"
"""What the scan lets a pickle of torch name: the parts of tensors, and plain containers around them."""

_CONVERTED = frozenset({"torch-zip", "torch-legacy"})
_PICKLED = _CONVERTED | {"torch-tar", "torch-zip-row", "joblib-zfile"}
"""Formats that are pickles whatever is in them; of others the scan says whether they hold one."""

_SUFFIX = ".safetensors"
_INSTEAD = (
    "save tensors as safetensors, scalars as JSON, estimators of scikit-learn with skops.io.dump, and boosters with"
    " their own save_model; --keep-pickles (keep_pickles=True) lets a pickle leave as it is, where the artifact scan"
    " has nothing against it"
)


class PickleSafeguard(IdleSafeguard):
    """Stands beside every training, so that what it pickled does not leave unseen.

    Args:
        opener: Holds each file still while it is scanned and converted.
        keep: Let pickles leave as they are, where the artifact scan has nothing against them.
    """

    def __init__(self, opener: Opener, *, keep: bool = False) -> None:
        self._opener = opener
        self._keep = keep

    @property
    def name(self) -> str:
        """``pickles``."""
        return "pickles"

    def requested(self) -> Mapping[str, Json]:
        """That it keeps them, so that a profile which bears none can refuse before anything runs."""
        return {"keep_pickles": True} if self._keep else {}

    def after(self, ended: Ended, out: Path) -> Part:
        """Scan the output, and convert what was pickled in it; after a run that failed there is nothing to do."""
        if ended.failed:
            return Part()
        found = [_looked_into(out, path) for path in sorted(path for path in out.rglob("*") if path.is_file())]
        pickled = tuple(one for one in found if one.form)
        part = self._kept(out, pickled) if self._keep else self._all_converted(out, pickled)
        if part.problem:
            return part
        unread = tuple(gap for one in found if not one.form for gap in one.unread)
        none = not unread and not (self._keep and pickled)
        return replace(
            part,
            findings=(*part.findings, *(_unread(gap) for gap in unread)),
            facts={"training": {"no_pickles": none}},
        )

    def _all_converted(self, out: Path, pickled: tuple[_Pickled, ...]) -> Part:
        done: list[_Done] = []
        for pickle in pickled:
            if pickle.form not in _CONVERTED:
                return _refused(pickle.path, f"is a pickle ({pickle.form}) that is not converted")
            one = self._converted(out, pickle.path)
            if isinstance(one, str):
                return _refused(pickle.path, f"cannot be converted: {one}")
            done.append(one)
        return Part(
            findings=tuple(one.finding for one in done),
            measures=(Measure(name="pickles_converted", value=len(done)),),
            configuration={"keep": False, "converted": [one.document for one in done], "profile": PROFILE},
            tools=tuple(dict.fromkeys(tool for one in done for tool in one.tools)),
        )

    def _converted(self, out: Path, relative: str) -> _Done | str:
        from interlock.artifacts.conversion import Converter

        source = out / relative
        target = source.with_suffix(_SUFFIX)
        if target.exists():
            target = source.with_name(source.name + _SUFFIX)
        if target.exists():
            return f"its place {target.name!r} is taken"
        made = Converter(opener=self._opener, profile=PROFILE).convert(os.fspath(source), target)
        if made.verdict is not Verdict.ALLOW:
            return "; ".join(made.reasons)
        source.unlink()
        return _Done(relative=relative, target=os.fspath(target.relative_to(out)), made=made)

    def _kept(self, out: Path, pickled: tuple[_Pickled, ...]) -> Part:
        from interlock.artifacts.gate import ArtifactGate

        passed = _profiles(out, frozenset(one.path for one in pickled))
        against = _scanned(out, {one.path for one in pickled} - passed.keys(), PROFILE)
        errors = (one for one in against.findings if one.level is Level.ERROR)
        told: list[Json] = [{"path": one.path, "format": one.form, "profile": passed.get(one.path)} for one in pickled]
        return Part(
            findings=(
                *(_kept_as_it_is(one, passed[one.path]) for one in pickled if one.path in passed),
                *errors,
                *(replace(_unread(gap), level=Level.ERROR) for gap in against.failed),
            ),
            measures=(Measure(name="pickles_kept", value=len(pickled)),),
            configuration={"keep": True, "kept": told},
            tools=ArtifactGate(weights=False).tools if pickled else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pickled:
    """A file of the output: its format where it is a pickle or holds one, and what of it could not be looked into."""

    path: str
    form: str
    unread: tuple[Gap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """One pickle that is a safetensors file now."""

    relative: str
    target: str
    made: Converted

    @property
    def finding(self) -> Finding:
        left = f"; {self.made.left_out_count} values that are no tensors were left out" * bool(self.made.left_out_count)
        message = f"{len(self.made.tensors)} tensors of {self.relative!r} are in {self.target!r} now{left}"
        return Finding(
            rule_id="training.pickle-converted",
            level=Level.WARNING if left else Level.NOTE,
            message=message,
            location=Location(path=self.target),
        )

    @property
    def document(self) -> Json:
        return {
            "path": self.relative,
            "sha256": self.made.source.digest,
            "to": self.target,
            "tensors": len(self.made.tensors),
            "proven_by": self.made.proven_by,
        }

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self.made.tools


def _refused(relative: str, why: str) -> Part:
    return Part(problem=f"the output's {relative!r} {why}; {_INSTEAD}")


def _unread(gap: Gap) -> Finding:
    return Finding(
        rule_id="training.unread-output",
        level=Level.WARNING,
        message=f"whether {gap.path!r} holds a pickle is not known: {gap.reason}",
        location=Location(path=gap.path),
    )


def _kept_as_it_is(one: _Pickled, profile: str) -> Finding:
    return Finding(
        rule_id="training.pickle-kept",
        level=Level.WARNING,
        message=f"{one.path!r} is a pickle ({one.form}) and leaves as it is; the artifact scan's profile {profile} has"
        " nothing against it",
        location=Location(path=one.path),
    )


def _looked_into(out: Path, path: Path) -> _Pickled:
    """Whether a file is a pickle or holds one, by content."""
    from interlock.artifacts.gate import told

    relative = os.fspath(path.relative_to(out))
    if not path.stat().st_size:
        return _Pickled(path=relative, form="", unread=())
    record = _scanned(out, {relative}, PROFILE)
    own = record.formats.get(told(relative), "unknown")
    form = ""
    if record.pickled or _PICKLED.intersection(record.formats.values()):
        form = own if own in {*_PICKLED, "pickle"} else f"{own} with a pickle inside"
    # What is of no known format was read as a pickle, too, and is none.
    return _Pickled(
        path=relative, form=form, unread=tuple(gap for gap in record.failed if gap.path not in record.unrecognised)
    )


def _scanned(out: Path, files: Iterable[str], profile: str) -> Record:
    """What the artifact scan says of some files of the output."""
    from interlock.artifacts.gate import ArtifactGate
    from interlock.artifacts.privacy.texts import Texts

    subject = Subject(name=out.name, uri=out.absolute().as_uri(), digest="0" * 64)
    with Texts() as texts:
        return ArtifactGate(profile=profile, weights=False).examined(
            OpenSubject(subject=subject, path=out, files=tuple(sorted(files))), texts
        )


def _profiles(out: Path, pickled: frozenset[str]) -> dict[str, str]:
    """By path, the first profile that has nothing against a pickle; those that none lets pass are missing.

    Pickles are scanned together, because some name others (`torch.distributed.checkpoint`). After a scan that refused
    one, the rest is scanned again without it: next to a refused file the scan does not look at the others twice.
    """
    from interlock.artifacts.gate import told
    from interlock.artifacts.pickles.profiles import PROFILES

    passed: dict[str, str] = {}
    for profile in PROFILES:
        left = frozenset[str]() if passed.keys() == pickled else pickled
        while left:
            doubtful = _scanned(out, left, profile).doubtful
            good = frozenset(path for path in left if told(path) not in doubtful)
            if good == left:
                passed = dict.fromkeys(sorted(good), profile) | passed
                break
            left = good
    return passed
