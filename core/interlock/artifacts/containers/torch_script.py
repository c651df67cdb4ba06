"""What is particular to a TorchScript archive: its code, the classes that the code declares, and its constants.

TorchScript is a program. Without the profile ``torchscript`` it is an error whatever it holds; under it, code that only
names operators that compute is allowed (`torchscript_code`). Its pickles are read by torch's own unpickler, which knows
the archive's classes, tensors and typed lists, and imports nothing: that is what its pickles may name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.containers.zip_container import Member, whole
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.profiles import GlobalRule, Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

PROFILE: Final = "torchscript"
_CODE: Final = "code/"
_MOST_CODE: Final = 1 << 20


def is_script(names: Mapping[str, Member]) -> bool:
    """Whether a torch archive with these members is one that ``torch.jit.load`` would run."""
    return "constants.pkl" in names or "bytecode.pkl" in names or any(name.startswith(_CODE) for name in names)


def script_profile(
    data: Buffer, by_name: Mapping[str, Member], *, path: str, profile: Profile, record: Record
) -> Profile:
    """Scan the code of an archive.

    Args:
        data: The zip file, unverified.
        by_name: Members by their name below the root.
        path: Of the archive, for findings.
        profile: What pickles may do.
        record: Where findings go.

    Returns:
        The profile for the archive's pickles: with its own classes, if `profile` is the one for TorchScript.

    Raises:
        LimitPassedError: It is too much code.
        ZipStructureError: A file of it cannot be expanded.
    """
    listing = [shown(name) for name in sorted(by_name) if name.startswith(_CODE)][:20]
    if profile.name != PROFILE:
        what = f"a TorchScript archive: loading it compiles and runs its code, for which the profile {PROFILE!r} is"
        record.error(rules.EXECUTABLE, what, path, members=listing)
        return profile
    from interlock.artifacts.formats.torchscript_code import class_names, scan_code

    if "bytecode.pkl" in by_name:
        record.error(rules.EXECUTABLE, "TorchScript as bytecode, which is not read here", path)
    code = {name: member for name, member in by_name.items() if is_code(name)}
    total = sum(member.size for member in code.values())
    if total > _MOST_CODE:
        # A syntax tree takes some 600 times the memory of its text.
        raise LimitPassedError(f"TorchScript code of {total:,} bytes, more than {_MOST_CODE:,}")
    sources = {name: whole(data, member, record).decode("utf-8", "replace") for name, member in code.items()}
    scan_code(sources, path, record)
    classes = {name for file, text in sources.items() for name in class_names(file.removeprefix(_CODE), text)}
    own = tuple(_class_rule(*name.rpartition(".")[::2]) for name in sorted(classes))
    return replace(profile, rules=(*profile.rules, *own))


def is_code(name: str) -> bool:
    """Whether a member below the root was read as code."""
    return name.startswith(_CODE) and name.endswith(".py")


def _class_rule(module: str, name: str) -> GlobalRule:
    return GlobalRule(module=module, name=name, kind="type", new=((),), result="script-object", build="attributes")
