"""`interlock airflow` where there is no Airflow; where there is one: tests/airflow/test_airflow_setup.py."""

from __future__ import annotations

import sys

import pytest

from interlock.cli import main


@pytest.mark.parametrize("command", ["setup", "status", "recheck"])
def test_without_airflow_it_says_how_to_get_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "airflow", None)
    with pytest.raises(SystemExit, match="2"):
        main(["airflow", command])
    assert "airflow is not installed. Next: pip install 'interlock[airflow]'" in capsys.readouterr().err
