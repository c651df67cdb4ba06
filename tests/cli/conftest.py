"""The command line, called in this process as a person would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interlock.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one call of the command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Interlock = Callable[..., Said]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    assert "Traceback" not in said.err
    return Said(status=ended.value.code, out=said.out, err=said.err)


@pytest.fixture
def interlock(home: Path, capsys: pytest.CaptureFixture[str]) -> Interlock:
    def called(*arguments: object) -> Said:
        said = call(capsys, *arguments)
        assert "a defect of Interlock" not in said.err
        return said

    return called
