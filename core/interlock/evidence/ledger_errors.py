"""What a database says, in the words of `interlock.gate.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from interlock.evidence.ledger_tables import APPEND_ONLY
from interlock.gate.errors import InterlockError, LedgerError, SettingsError, UnavailableError

_LOGIN = ("28P01", "28000", "3D000", "42501")
"""PostgreSQL: invalid password, invalid authorization, unknown database, insufficient privilege (Appendix A)."""

_BROKEN = ("not a database", "malformed", "no such table", "no such column")
_MISPLACED = ("unable to open", "readonly", "read-only")


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Turn SQLAlchemy's errors into the tree of `interlock.gate.errors`; the password never shows."""
    where = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except InterlockError:
        raise
    except SQLAlchemyError as error:
        raise _translated(error, where) from error
    except OSError as error:
        raise _unavailable(str(error), where) from error


def _translated(error: SQLAlchemyError, where: str) -> InterlockError:
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if APPEND_ONLY in said:
        return LedgerError(APPEND_ONLY, where=where)
    if any(code in said for code in _LOGIN):
        return SettingsError(
            f"the ledger's database refuses this account: {said}", where=where, next_step="check setting `ledger_url`"
        )
    if any(sign in said for sign in _BROKEN):
        return LedgerError(
            f"the ledger cannot be read: {said}",
            where=where,
            next_step="restore it from a backup, then run `interlock ledger verify` with the head that you noted",
        )
    if any(sign in said for sign in _MISPLACED):
        return SettingsError(f"the ledger cannot be opened: {said}", where=where, next_step="check `ledger_url`")
    if isinstance(error, IntegrityError):
        return LedgerError(f"the ledger refused a row: {said}", where=where)
    return _unavailable(said, where)


def _unavailable(said: str, where: str) -> UnavailableError:
    return UnavailableError(f"the ledger's database did not answer: {said}", where=where, next_step="try again")
