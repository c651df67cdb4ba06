"""Asks one scanner about files, in a process of that scanner's own; run by `benchmarks.artifacts.peers`, by path.

    driver.py TOOL                says {"ready": TOOL}; then answers each line {"path": ..., "profile": ...} with
                                  {"verdict": ..., "why": ...}
    driver.py TOOL PATH PROFILE   one call of the scanner: {"verdict": ..., "why": ..., "seconds": ..., ...}

It runs under each scanner's own Python, so it imports nothing but the standard library and that scanner. A verdict is

- ``refused``: the scanner says that the file is hostile, or must not be loaded,
- ``doubtful``: a warning, a result that it calls incomplete, an error or an exception: a careful person stops there,
- ``unread``: it says that this is nothing that it reads,
- ``passed``: nothing is said against the file.

The docstring of each function below says how the scanner's own words become one of these.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Said = tuple[str, str]
Ask = Callable[[Path, str], Said]
ORDER = ("passed", "unread", "doubtful", "refused")


def picklescan(*, strict: bool) -> Ask:
    """Issues are a refusal (exit status 1), a scan error (2) and suspicious globals (exit status 0!) are doubt."""
    from picklescan.scanner import scan_file_path  # type: ignore[import-untyped]  # no stubs are published

    def ask(path: Path, _: str) -> Said:
        found = scan_file_path(str(path), strict=strict)
        if found.issues_count:
            return "refused", f"{found.issues_count} issues"
        if found.scan_err or found.suspicious_count:
            return "doubtful", "scan error" if found.scan_err else f"{found.suspicious_count} suspicious"
        return ("passed" if found.scanned_files else "unread"), ""

    return ask


def modelscan() -> Ask:
    """As the exit status of its command: 1 a refusal, 2 (errors) doubt, 3 (no supported file) not read."""
    from modelscan.modelscan import ModelScan  # type: ignore[import-not-found]  # elsewhere

    def ask(path: Path, _: str) -> Said:
        scan = ModelScan()
        scan.scan(path)
        if scan.issues.all_issues:
            return "refused", f"{len(scan.issues.all_issues)} issues"
        if scan.errors:
            return "doubtful", str(scan.errors[0])[:200]
        return ("passed" if scan.scanned else "unread"), ""

    return ask


def fickling() -> Ask:
    """A severity from LIKELY_UNSAFE on is a refusal; a lesser one, an error or an exception is doubt.

    Zip files go to its `scan_zip_archive`, all else to its `scan_file`.
    """
    import zipfile

    from fickling.analysis import Severity  # type: ignore[import-not-found]  # elsewhere
    from fickling.loader import scan_file, scan_zip_archive  # type: ignore[import-not-found]  # elsewhere

    def ask(path: Path, _: str) -> Said:
        results = list(scan_zip_archive(str(path)).values()) if zipfile.is_zipfile(path) else [scan_file(str(path))]
        worst = max((one.severity for one in results), default=Severity.LIKELY_SAFE)
        if worst >= Severity.LIKELY_UNSAFE:
            return "refused", worst.message
        if not all(results):
            return "doubtful", "; ".join(str(error) for one in results for error in one.errors)[:200]
        return ("passed" if results else "unread"), ""

    return ask


def modelaudit_picklescan() -> Ask:
    """Malicious is a refusal; suspicious, unknown, and whatever is not complete, is doubt."""
    from modelaudit_picklescan import SafetyVerdict, ScanStatus, scan_file  # type: ignore[import-not-found]  # elsewhere

    def ask(path: Path, _: str) -> Said:
        report = scan_file(path)
        why = f"{report.status.value}, {report.verdict.value}"
        if report.verdict is SafetyVerdict.MALICIOUS:
            return "refused", why
        clean = report.status is ScanStatus.COMPLETE and report.verdict is SafetyVerdict.CLEAN
        return ("passed" if clean else "doubtful"), why

    return ask


def interlock(*, weights: bool | None = None) -> Ask:
    """`ArtifactGate.look`: error findings (DENY) are a refusal, what could not be read to its end (UNDECIDED) is doubt.

    The profile ``*`` stands for all of them, and for the mildest of what they say. `weights` False leaves out what no
    other scanner does, a look at every number of the tensors.
    """
    from interlock.artifacts import PROFILES, ArtifactGate
    from interlock.gate import Level, OpenSubject, Subject

    gates = {name: ArtifactGate(profile=name, weights=weights) for name in PROFILES}

    def once(path: Path, profile: str) -> Said:
        single = path.is_file()
        names = tuple(sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()))
        subject = Subject(name=path.name, uri=path.as_uri(), digest="0" * 64)
        seen = gates[profile].look(OpenSubject(subject=subject, path=path, files=("",) if single else names))
        errors = [finding.rule_id for finding in seen.findings if finding.level is Level.ERROR]
        if errors:
            return "refused", errors[0]
        if seen.coverage.failed:
            return "doubtful", seen.coverage.failed[0].reason
        return "passed", ""

    def ask(path: Path, profile: str) -> Said:
        if profile != "*":
            return once(path, profile)
        return min((once(path, name) for name in gates), key=lambda said: ORDER.index(said[0]))

    return ask


def genops() -> Ask:
    """Reads opcodes, understands nothing."""
    import pickletools

    def ask(path: Path, _: str) -> Said:
        return "passed", f"{sum(1 for _ in pickletools.genops(path.read_bytes())):,} opcodes"

    return ask


def testzip() -> Ask:
    """Checks the checksums of a zip, nothing else."""
    import zipfile

    return lambda path, _: ("refused" if zipfile.ZipFile(path).testzip() else "passed", "")


def torch_load() -> Ask:
    """``torch.load(weights_only=True)``."""
    import torch

    torch.set_num_threads(1)

    def ask(path: Path, _: str) -> Said:
        torch.load(path, weights_only=True)
        return "passed", ""

    return ask


def safe_open() -> Ask:
    """The library's own reader: opens a file and names its tensors."""
    import safetensors

    def ask(path: Path, _: str) -> Said:
        with safetensors.safe_open(path, framework="numpy") as opened:
            return "passed", ", ".join(opened.keys())

    return ask


TOOLS: dict[str, Callable[[], Ask]] = {
    "interlock": interlock,
    "interlock without weights": lambda: interlock(weights=False),
    "picklescan": lambda: picklescan(strict=False),
    "picklescan --strict": lambda: picklescan(strict=True),
    "modelscan": modelscan,
    "fickling": fickling,
    "modelaudit-picklescan": modelaudit_picklescan,
    "pickletools.genops": genops,
    "zipfile.testzip": testzip,
    "torch.load": torch_load,
    "safetensors.safe_open": safe_open,
}


def file_by_file(ask: Ask, path: Path, profile: str) -> Said:
    """The worst of what is said of the files of a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return max((guarded(ask, file, profile) for file in files), key=lambda said: ORDER.index(said[0]))


def guarded(ask: Ask, path: Path, profile: str) -> Said:
    """An exception is doubt, like an error."""
    try:
        return ask(path, profile)
    except Exception as error:  # noqa: BLE001 (whatever a scanner raises is what it says)
        return "doubtful", f"{type(error).__name__}: {error}"[:200]


def peak() -> float:
    """MiB that this process has held at most, from the start of its program on."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def spent() -> float:
    """Processor seconds of this process and of those that it waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def main() -> None:
    logging.disable(logging.CRITICAL)
    # Scanners that print would write between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tool = sys.argv[1]
    ask = TOOLS[tool]()

    def say(**said: Any) -> None:
        print(json.dumps(said), file=answers, flush=True)

    if len(sys.argv) > 2:
        before, used = peak(), spent()
        started = time.perf_counter()
        verdict, why = guarded(ask, Path(sys.argv[2]), sys.argv[3])
        seconds = time.perf_counter() - started
        say(verdict=verdict, why=why, seconds=seconds, processor=spent() - used, grown=peak() - before)
        return
    say(ready=tool)
    for line in sys.stdin:
        asked = json.loads(line)
        whole = guarded if tool == "interlock" else file_by_file
        verdict, why = whole(ask, Path(asked["path"]), asked["profile"])
        say(verdict=verdict, why=why)


if __name__ == "__main__":
    main()
