"""Engines as they are outside of tests: how their helpers start and end is what is tested here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import warm_engine


@pytest.fixture(autouse=True)
def own_helpers() -> Iterator[None]:
    with warm_engine.not_shared():
        yield
