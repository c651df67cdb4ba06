"""The database behind a ledger, as an attacker who owns it sees it."""

from __future__ import annotations

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool


class raw:  # noqa: N801 - reads as a function
    """The database behind a ledger, for an attacker who owns it: no triggers in the way."""

    def __init__(self, url: str, *, triggers: bool = False) -> None:
        self._engine = create_engine(url, poolclass=NullPool)
        self._triggers = triggers

    def __enter__(self) -> Connection:
        self._connection = self._engine.connect()
        self._transaction = self._connection.begin()
        if not self._triggers:
            self._drop_triggers()
        return self._connection

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self._transaction.commit()
        self._connection.close()

    def _drop_triggers(self) -> None:
        if self._engine.dialect.name == "postgresql":
            self._connection.execute(text("DROP FUNCTION IF EXISTS interlock_append_only CASCADE"))
            return
        names = self._connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:
            self._connection.execute(text(f"DROP TRIGGER {name}"))
