"""The comparison with other scanners: what it starts, it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.artifacts.detection import Scanner


def test_scanner_that_does_not_say_that_it_is_ready_is_ended(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho no\nexec sleep 600\n")
    python.chmod(0o700)
    with pytest.raises(RuntimeError, match="it does not start"):
        Scanner("any", python).ask("model", "")
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
