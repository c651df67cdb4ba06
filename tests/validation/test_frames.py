from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from interlock.gate import SubjectError
from interlock.validation import FrameOpener, write_frame


def test_a_frame_is_held_as_the_bytes_that_write_frame_writes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    digest = write_frame(frame, tmp_path / "d.parquet")
    assert digest == hashlib.sha256((tmp_path / "d.parquet").read_bytes()).hexdigest()
    with FrameOpener(frame).open("memory://people") as opened:
        assert opened.subject.digest == digest
        assert opened.subject.name == "people.parquet"
        assert opened.path.stat().st_mode & 0o777 == 0o400
        pd.testing.assert_frame_equal(pd.read_parquet(opened.path), frame)
    assert not opened.path.exists()


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a'", id="name twice"),
        pytest.param(pd.DataFrame([[1, 2]]), "column 0", id="number as name"),
        pytest.param(pd.DataFrame({"mixed": [1, "secret"]}), "'mixed'", id="mixed types"),
    ],
)
def test_a_frame_that_parquet_cannot_hold_is_one_clear_message(frame: pd.DataFrame, said: str) -> None:
    with pytest.raises(SubjectError) as caught, FrameOpener(frame).open("x"):
        pass
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
