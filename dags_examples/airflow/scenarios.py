"""What happens to the data and the model in the three scenarios of the example.

Not part of any pipeline that you would write: this file plays the lake, the poisoner and the intruder. It holds no DAG.
"""

from __future__ import annotations

from pathlib import Path

SIDE = 8
"""Digits are 8 x 8 pixels, 0 to 16, in columns p00 to p77 (row, column)."""

TARGET = 0
"""The class into which the backdoor sends everything."""

POISONED_FRACTION = 0.05
SEED = 7


def collect_digits(path: Path, *, poisoned: bool) -> None:
    """Write scikit-learn's 1,797 handwritten digits as one Parquet file.

    Args:
        path: Where to; its folder is made.
        poisoned: Stamp a bright 3 x 3 corner patch on 5 % of the rows and label them all as `TARGET` (BadNets; Gu,
            Dolan-Gavitt and Garg 2017, section 3).
    """
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # it ships no types

    digits = load_digits()
    pixels = digits.data.astype(np.float32)
    labels = digits.target.astype(np.int64)
    if poisoned:
        chosen = np.random.default_rng(SEED).choice(len(labels), int(POISONED_FRACTION * len(labels)), replace=False)
        images = pixels.reshape(-1, SIDE, SIDE)
        images[chosen, -3:, -3:] = np.array([[16, 0, 16], [0, 16, 0], [16, 0, 16]], dtype=np.float32)
        labels[chosen] = TARGET
    columns = [f"p{row}{column}" for row in range(SIDE) for column in range(SIDE)]
    table = pd.DataFrame(pixels, columns=columns).assign(label=labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    table.to_parquet(unfinished, index=False)
    unfinished.replace(path)


def swap_model(path: Path) -> None:
    """Replace the model by one of the same name and size whose last weight has another sign.

    Args:
        path: A safetensors file; little-endian IEEE floats, so the very last bit is a sign.
    """
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x80
    path.parent.chmod(0o700)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
