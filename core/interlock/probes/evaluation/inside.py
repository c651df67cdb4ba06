"""Calls a user's prediction function and writes what it returns; run inside the sandbox as a module.

It imports the standard library, and makes use of numpy, torch and pandas only where the function's answer is theirs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.training.harness import HarnessError, find

PREDICTIONS = "predictions.json"


def main(arguments: list[str]) -> int:
    """Import the function, call it with the model's and the rows' path, and write its answer.

    Returns:
        0; 1 with the user's own traceback, or with one line that says what is missing.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--function", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        function: Any = find(given.function)
        text = json.dumps(document(function(given.model, given.rows)), allow_nan=False)
    except HarnessError as error:
        print(f"interlock: {error}", file=sys.stderr)  # noqa: T201 (this is a program)
        return 1
    except Exception:  # noqa: BLE001 (the user's own code: its traceback is what helps)
        traceback.print_exc()
        return 1
    (given.out / PREDICTIONS).write_text(text, encoding="utf-8")
    return 0


def document(answer: object) -> dict[str, Any]:
    """What a function returned, as the file holds it.

    Args:
        answer: A list, array, tensor or series with one prediction a row, or a mapping with ``predictions`` and, where
            there are probabilities, ``scores`` (a row each) and ``classes``.

    Raises:
        HarnessError: It is something else.
    """
    if not isinstance(answer, Mapping):
        return {"predictions": _plain(answer)}
    unknown = sorted(set(map(str, answer)) - {"predictions", "scores", "classes"})
    if unknown or "predictions" not in answer:
        raise HarnessError(f"an answer has predictions, scores and classes, not {', '.join(unknown) or 'nothing'}")
    return {str(name): _plain(value) for name, value in answer.items() if value is not None}


def _plain(value: Any) -> list[Any]:
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise HarnessError(f"the function returned a {type(value).__name__}, not one prediction a row")
    return [_item(item) for item in value]


def _item(item: Any) -> Any:
    if hasattr(item, "detach"):
        item = item.detach().cpu()
    if hasattr(item, "tolist"):  # a numpy scalar or a row of scores
        item = item.tolist()
    if isinstance(item, list | tuple):
        return [_item(one) for one in item]
    return None if isinstance(item, float) and not math.isfinite(item) else item


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
