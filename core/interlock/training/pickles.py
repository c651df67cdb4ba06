"""What a training pickled: scanned, converted to safetensors with proof, and never let out as it is.

A file is taken by its content, whatever its name. What `torch.save` wrote becomes a safetensors file beside it, if the
artifact scan has nothing against it and every tensor is proven to be the same; then the pickle goes. Any other pickle
keeps the whole output from leaving, because nothing here can say what reading it would do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Finding, Json, Level, Measure, Opener, OpenSubject, Subject, Tool, Verdict
from interlock.gate.values import Location
from interlock.training.safeguards import IdleSafeguard, Part
from interlock.training.sandbox import Ended

if TYPE_CHECKING:
    from interlock.artifacts.conversion.converted import Converted

PROFILE = "torch-checkpoint"
"""What the scan lets a pickle of torch name: the parts of tensors, and plain containers around them."""

_CONVERTED = frozenset({"torch-zip", "torch-legacy"})
_PICKLED = _CONVERTED | {"pickle", "torch-tar", "torch-zip-row", "joblib-zfile"}
_SUFFIX = ".safetensors"


class PickleSafeguard(IdleSafeguard):
    """Stands beside a training whose pickles must not leave.

    Args:
        opener: Holds each file still while it is scanned and converted.
    """

    def __init__(self, opener: Opener) -> None:
        self._opener = opener

    @property
    def name(self) -> str:
        """``pickles``."""
        return "pickles"

    def after(self, ended: Ended, out: Path) -> Part:
        """Scan the output, and convert what was pickled in it; after a run that failed there is nothing to do."""
        if ended.failed:
            return Part()
        found = _pickles(out)
        done: list[_Done] = []
        for relative, form in found:
            if form not in _CONVERTED:
                return _refused(relative, f"is a pickle ({form}) that is not converted")
            one = self._converted(out, relative)
            if isinstance(one, str):
                return _refused(relative, f"cannot be converted: {one}")
            done.append(one)
        return Part(
            findings=tuple(one.finding for one in done),
            measures=(Measure(name="pickles_converted", value=len(done)),),
            facts={"training": {"no_pickles": True}},
            configuration={"converted": [one.document for one in done], "profile": PROFILE},
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
    return Part(problem=f"the output's {relative!r} {why}; save tensors as safetensors, and scalars as JSON")


def _pickles(out: Path) -> tuple[tuple[str, str], ...]:
    """The pickles among the files of `out`, by content: relative path and format."""
    from interlock.artifacts.gate import ArtifactGate, told
    from interlock.artifacts.privacy.texts import Texts

    found: list[tuple[str, str]] = []
    gate = ArtifactGate(profile=PROFILE, weights=False)
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        relative = os.fspath(path.relative_to(out))
        opened = OpenSubject(
            subject=Subject(name=path.name, uri=path.absolute().as_uri(), digest="0" * 64), path=path, files=("",)
        )
        with Texts() as texts:
            record = gate.examined(opened, texts)
        forms = [record.formats.get(told(path.name), ""), *record.formats.values()]
        form = next((form for form in forms if form in _PICKLED), "")
        if form:
            # A pickle inside of another container is one that is not converted.
            found.append((relative, form if forms[0] == form else f"{form} in {forms[0]}"))
    return tuple(found)
