"""A worker for files of plain Python: the machinery of lint without an orchestrator, for tests of what files may do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.gate.errors import InterlockError
from interlock.gate.values import Json
from interlock.lint.answers import finding_answer
from interlock.lint.forked import FailedError, NoAnswerError, TooLongError
from interlock.lint.serving import Load, serve

_RULES: Mapping[type[InterlockError], str] = {
    TooLongError: "lint.timeout",
    NoAnswerError: "lint.no-answer",
    FailedError: "lint.import-error",
}


class Toy:
    """Executes a file, and says what it left in `said`."""

    def files_in(self, folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
        return sorted(folder.glob("*.py")), []

    def passes_over(self, file: Path) -> str:
        return ""

    def load(self, file: Path, root: Path) -> Json:
        names: dict[str, Any] = {}
        exec(compile(file.read_text(), str(file), "exec"), names)
        said: Json = names.get("said", "nothing")
        return said

    def judge(self, load: Load) -> Json:
        try:
            return {"dags": [], "findings": [finding_answer("lint.no-dags", f"said {load({})!r}")]}
        except (TooLongError, NoAnswerError, FailedError) as error:
            return {"dags": [], "findings": [finding_answer(_RULES[type(error)], error.what)]}


if __name__ == "__main__":
    serve(Toy, int(sys.argv[1]))
