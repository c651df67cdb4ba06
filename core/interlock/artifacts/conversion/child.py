"""Runs inside of the sandbox, by path: calls one function of `interlock.artifacts.conversion.inside`.

Usage: ``child.py ROOT FUNCTION DATA OUT OPTIONS``: ROOT is the folder that holds the package ``interlock``, OPTIONS is
a JSON object.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """See the module."""
    root, function, data, out, options = sys.argv[1:]
    sys.path.insert(0, root)
    tempfile.tempdir = str(Path(out).parent)  # on the disk, where /tmp in here is memory
    inside = importlib.import_module("interlock.artifacts.conversion.inside")
    getattr(inside, function)(Path(data), Path(out), json.loads(options))


if __name__ == "__main__":
    main()
