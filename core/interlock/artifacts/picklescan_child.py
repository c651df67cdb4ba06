"""Runs inside of the sandbox, by path: asks picklescan about every file, strictly, and writes what it says as JSON.

Usage: ``picklescan_child.py DATA OUT``: DATA is a file or a folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MOST = 20


def said(file: Path) -> dict[str, Any]:
    """What picklescan says of one file."""
    from picklescan.scanner import SafetyLevel, scan_file_path  # type: ignore[import-untyped]  # no stubs are published

    try:
        found = scan_file_path(str(file), strict=True)
    except Exception as error:  # noqa: BLE001 (whatever it is, the host is told)
        return {"issues": 0, "broken": True, "names": [], "why": f"{type(error).__name__}: {error}"[:200]}
    bad = [one for one in found.globals if one.safety is not SafetyLevel.Innocuous]
    names = sorted({f"{one.module}.{one.name}" for one in bad})
    return {"issues": found.issues_count, "broken": found.scan_err, "names": names[:MOST], "why": ""}


def main() -> None:
    """See the module."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    files = sorted(file for file in data.rglob("*") if file.is_file()) if data.is_dir() else [data]
    out.write_text(json.dumps({"" if file == data else str(file.relative_to(data)): said(file) for file in files}))


if __name__ == "__main__":
    main()
