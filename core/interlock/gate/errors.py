"""Every error that Interlock raises on purpose, in one tree.

::

    InterlockError
    ├── UsageError                 the caller or the configuration is wrong           exit 2
    │   ├── SettingsError          a setting is missing, malformed or contradicts another
    │   └── MissingExtraError      an optional package is not installed; names the extra
    ├── SubjectError               what is judged cannot be read as it claims to be    exit 3
    │   ├── SubjectNotFoundError   nothing is at that path or URL                      exit 2
    │   └── UnsafeSubjectError     a symlink, a device, a path that leaves its root, a limit passed
    ├── EvidenceError              a receipt, a key or the ledger does not hold        exit 3
    │   ├── SignatureError         no trusted key speaks for these bytes
    │   ├── ReceiptError           malformed, expired, or not issued yet
    │   └── LedgerError            the chain is broken; names the first broken link
    ├── PolicyError                the bundle or the engine's answer cannot be used    exit 3
    ├── UnavailableError           infrastructure trouble that may pass: worth a retry exit 3
    └── RefusedError               a step may not go on
        ├── DeniedError            policy said no                                      exit 1
        ├── UndecidedError         nobody could tell                                   exit 3
        └── GuardError             the guard stayed shut                               exit 1

An attacker's document (`SubjectError`, `EvidenceError`) and a caller's mistake (`UsageError`) are never the same
class, and only `UnavailableError` may be answered by trying again.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_ALLOW = 0
EXIT_DENY = 1
EXIT_USAGE = 2
EXIT_UNDECIDED = 3


class InterlockError(Exception):
    """Root of the tree: says what is wrong, where, and what to do next.

    Args:
        what: One sentence without a full stop.
        where: Path, URL, row, column, field or rule id; empty when `what` already says it.
        next_step: What the reader should do now; empty only when there is nothing to do.
    """

    exit_status: ClassVar[int] = EXIT_UNDECIDED

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what, where, next_step)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        step = f". Next: {self.next_step}" if self.next_step else ""
        return f"{self.what}{place}{step}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword arguments: Airflow and process pools move errors between processes."""
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[InterlockError], fields: dict[str, object]) -> InterlockError:
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    Exception.__init__(error, *(fields[name] for name in ("what", "where", "next_step")))
    return error


class UsageError(InterlockError):
    """The caller or the configuration is wrong; trying again changes nothing."""

    exit_status = EXIT_USAGE


class SettingsError(UsageError):
    """A setting is missing, malformed, or contradicts another one."""


class MissingExtraError(UsageError):
    """An optional package is not installed.

    Args:
        package: The import name that was not found, for example ``great_expectations``.
        extra: The extra that brings it, for example ``gx``.
    """

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(f"{package} is not installed", next_step=f"pip install 'interlock[{extra}]'")
        self.package = package
        self.extra = extra


class SubjectError(InterlockError):
    """What is judged cannot be read as what it claims to be."""


class SubjectNotFoundError(SubjectError):
    """Nothing is at that path or URL."""

    exit_status = EXIT_USAGE


class UnsafeSubjectError(SubjectError):
    """The subject holds something that must not be followed or is larger than its limit."""


class EvidenceError(InterlockError):
    """A receipt, a key or the ledger does not hold."""


class SignatureError(EvidenceError):
    """No trusted key speaks for these bytes."""


class UnknownSignerError(SignatureError):
    """The signature may hold, but its key is not trusted for this."""


class ReceiptError(EvidenceError):
    """A receipt is malformed, expired, not valid yet, or speaks of something else."""


class LedgerError(EvidenceError):
    """The ledger's chain is broken, or a row of it cannot be read."""


class PolicyError(InterlockError):
    """The policy bundle or the engine's answer cannot be used."""


class UnavailableError(InterlockError):
    """Infrastructure trouble that may pass by itself; the only error worth a retry."""


class RefusedError(InterlockError):
    """A step may not go on.

    Args:
        receipt_id: The stored receipt that says why, or empty when none could be written.
    """

    def __init__(self, what: str, *, where: str = "", next_step: str = "", receipt_id: str = "") -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.receipt_id = receipt_id


class DeniedError(RefusedError):
    """Policy said no."""

    exit_status = EXIT_DENY


class UndecidedError(RefusedError):
    """Nobody could tell, so nothing goes on."""


class GuardError(RefusedError):
    """The guard of a protected step stayed shut."""

    exit_status = EXIT_DENY
