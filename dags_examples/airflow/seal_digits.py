"""Splits scikit-learn's digits into rows to train on and a sealed evaluation set, which no training may read.

    python seal_digits.py /lake/sealed/digits.parquet

prints what to put into the policy data `interlock/evaluations/data.json`. In a real lake whoever labels the evaluation
set does this, once, far from any pipeline.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SIDE = 8
EVERY = 3
"""Each third row is sealed: of some classes there would be too few rows otherwise to tell a drop from chance."""


def digits() -> pd.DataFrame:
    """The 1,797 digits in columns p00 to p77, ``label``, and ``scanner``, the half of the form that they come from."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # it ships no types

    found = load_digits()
    columns = [f"p{row}{column}" for row in range(SIDE) for column in range(SIDE)]
    table = pd.DataFrame(found.data.astype(np.float32), columns=columns).assign(label=found.target.astype(np.int64))
    return table.assign(scanner=["left" if row < len(table) // 2 else "right" for row in range(len(table))])


def training_rows() -> pd.DataFrame:
    """The rows that are not sealed, without the scanner."""
    table = digits()
    return table[table.index % EVERY != 0].drop(columns="scanner")


def sealed_rows() -> pd.DataFrame:
    """The rows that are."""
    table = digits()
    return table[table.index % EVERY == 0]


def write(table: pd.DataFrame, path: Path) -> None:
    """Let a table appear whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    table.to_parquet(unfinished, index=False)
    unfinished.replace(path)


def main() -> None:
    """Write the sealed set and say what policy has to know of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    write(sealed_rows(), given.path)
    entry = {
        "pipelines": ["gated_promotion"],
        "digest": hashlib.sha256(given.path.read_bytes()).hexdigest(),
        "label": "label",
        "task": "classification",
        "slices": ["scanner"],
        "until": "any",
    }
    print(json.dumps({"digits": entry}, indent=2))  # noqa: T201 (this is a program)


if __name__ == "__main__":
    main()
