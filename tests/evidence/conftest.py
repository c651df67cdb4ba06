"""Fixtures of the evidence room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.evidence.bench import Bench
from tests.evidence.databases import raw
from tests.evidence.postgres_server import binaries, server

from interlock.evidence.ledger_tables import TABLES


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workbench of its own for each test."""
    return Bench.at(tmp_path)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server of this module's own."""
    where = binaries()
    if where is None:
        pytest.skip("PostgreSQL's server binaries are not installed (apt-get install postgresql)")
    with server(where) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a fresh ledger may be made: once in SQLite, once in PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    address = request.getfixturevalue("postgres")
    # For each connection pg8000 reads the authorities of the system, half of its time, and verifies by none of them.
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    yield address
    with raw(address) as connection:
        for table in TABLES.tables:
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
