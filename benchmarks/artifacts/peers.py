"""The model scan beside picklescan, modelscan, fickling and modelaudit-picklescan, in one run, as Markdown.

    python -m benchmarks.artifacts.peers --venvs /tmp/peers [--repeat 7] [--only speed|detection]

Each scanner is installed into a virtual environment of its own under ``--venvs`` (made if it is not there; needs a
package index once) and runs in processes of its own. Detection: the whole corpus of the tests, file by file, through
the scanner's own API. Speed: every call in a fresh process, the scanners one after the other and that over and over
again, so that other work on the machine meets all of them.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.artifacts import detection, speed

PEERS = {
    "picklescan": ("picklescan==1.0.5",),
    "modelscan": ("modelscan==0.8.8",),
    # It does not say that it needs typing_extensions.
    "fickling": ("fickling==0.1.12", "typing_extensions==4.16.0"),
    "modelaudit-picklescan": ("modelaudit-picklescan==0.1.12",),
}
ROOT = Path(__file__).parents[2]


def installed(folder: Path) -> Mapping[str, Path]:
    """The Python of every scanner."""
    pythons = {"picklescan --strict": folder / "picklescan" / "bin" / "python"}
    for name, pins in PEERS.items():
        python = pythons[name] = folder / name / "bin" / "python"
        if not python.exists():
            venv.create(folder / name, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True)
    return pythons


def written(what: str, folder: Path) -> Path:
    """The files that are looked at, made by a process of its own: a child counts what its parent holds as its own."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.artifacts.subjects", what, folder],
        cwd=ROOT, check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venvs", type=Path, required=True, help="where the scanners are installed")
    parser.add_argument("--repeat", type=int, default=7, help="runs of every call whose time is taken")
    parser.add_argument("--timeout", type=float, default=400.0, help="seconds after which such a call is ended")
    parser.add_argument("--only", choices=("speed", "detection"))
    given = parser.parse_args()
    pythons = installed(given.venvs.absolute())
    print(f"{platform.platform()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}")
    print(", ".join(pin for pins in PEERS.values() for pin in pins))
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "detection":
            large = written("large", Path(folder, "large"))
            for table in speed.tables(large, pythons, repeat=given.repeat, timeout=given.timeout):
                print(f"\n{table}", flush=True)
        if given.only != "speed":
            print()
            print(detection.tables(written("corpus", Path(folder, "corpus")), pythons))


if __name__ == "__main__":
    main()
