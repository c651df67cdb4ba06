"""A decider that follows its policy: asked for again once `policy_poll` has passed, however long the process lives.

Each decision is made by one bundle from its first look to its log. When another one comes, whoever is deciding by the
old one goes on to the end, and its engine is closed after the last of them. What policy cannot be had decides nothing:
the old one is not used instead, but where `interlock.policy.bundles.source` itself takes the kept copy.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from interlock.gate.errors import InterlockError
from interlock.gate.protocols import Grants
from interlock.gate.settings import Settings
from interlock.gate.values import Decision, Json
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.bundles.source import Loaded, find_policy
from interlock.policy.decisions.decider import PolicyDecider
from interlock.policy.decisions.log import DecisionLog
from interlock.policy.decisions.log_file import LineFile
from interlock.policy.engine import PolicyEngine
from interlock.policy.engines.choose import open_engine


class FollowingDecider:
    """Implements `interlock.gate.Decider` by the newest policy; thread safe, and survives `os.fork`.

    Args:
        loaded: The policy that `decider` decides by, and how long it may.
        decider: Decides at first; closed with this one.
        find: Finds the policy anew; raises where there is none to decide by.
        engine_over: Opens the engine over another bundle.
        now: Seconds since the epoch; replaced in tests.
        ticks: Seconds on a clock that nobody sets; replaced in tests.
    """

    def __init__(
        self,
        loaded: Loaded,
        decider: PolicyDecider,
        *,
        find: Callable[[], Loaded],
        engine_over: Callable[[Bundle], PolicyEngine],
        now: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._engine_over = engine_over
        self._now = now
        self._ticks = ticks
        self._turn = threading.Lock()
        self._used = _Used(decider)
        self._found = (now(), ticks(), loaded.seconds)
        _DECIDERS.add(self)

    @property
    def bundle(self) -> Bundle:
        """The policy as it was found last; nothing is asked for."""
        return self._used.decider.bundle

    @property
    def engine(self) -> PolicyEngine:
        """What answers by it."""
        return self._used.decider.engine

    @property
    def bundle_digest(self) -> str:
        """sha256 of the bundle that the engine decides by, as in receipts; empty where it cannot say."""
        return self._used.decider.bundle_digest

    @contextmanager
    def held(self) -> Iterator[PolicyDecider]:
        """The decider by the newest policy, which stays the same until the end of the block.

        Raises:
            InterlockError: The policy is to be asked for again, and cannot be had; as `open_decider`.
        """
        with self._using(follow=True) as decider:
            yield decider

    def decide(self, document: Mapping[str, Json]) -> Decision:
        """As `PolicyDecider.decide`, by the newest policy; UNDECIDED where that cannot be had."""
        try:
            with self.held() as decider:
                return decider.decide(document)
        except InterlockError as error:
            with self._using(follow=False) as decider:
                return decider.refuse(document, str(error))

    def close(self) -> None:
        """Close the engine; the next decision opens it again."""
        self._used.decider.close()

    @contextmanager
    def _using(self, *, follow: bool) -> Iterator[PolicyDecider]:
        with self._turn:
            if follow and self._is_due():
                self._follow()
            used = self._used
            used.users += 1
            decider = used.decider
        try:
            yield decider
        finally:
            with self._turn:
                is_over = used.given_back()
            if is_over:
                decider.close()

    def _is_due(self) -> bool:
        """Whether the time has passed on either clock, or one was set back."""
        now, ticks, seconds = self._found
        return not 0 <= self._now() - now < seconds or self._ticks() - ticks >= seconds

    def _follow(self) -> None:
        now, ticks = self._now(), self._ticks()
        loaded = self._find()
        old = self._used
        if loaded.bundle.digest == old.decider.bundle.digest:
            old.decider = old.decider.over(old.decider.engine, loaded.bundle)
        else:
            self._used = _Used(old.decider.over(self._engine_over(loaded.bundle), loaded.bundle))
            if old.let_go():
                old.decider.close()
        self._found = (now, ticks, loaded.seconds)

    def _in_forked_child(self) -> None:
        """Forget the threads that are not in this process: the lock one may hold, and that they decide."""
        self._turn = threading.Lock()
        self._used.users = 0


class _Used:
    """A decider, and how many are deciding by it; under the lock of who holds it."""

    def __init__(self, decider: PolicyDecider) -> None:
        self.decider = decider
        self.users = 0
        self._is_old = False

    def given_back(self) -> bool:
        """Whether it is to be closed now."""
        self.users = max(0, self.users - 1)  # a forked child knows of none
        return self._is_old and not self.users

    def let_go(self) -> bool:
        """Nobody takes it any more. Whether it is to be closed now."""
        self._is_old = True
        return not self.users


_DECIDERS: weakref.WeakSet[FollowingDecider] = weakref.WeakSet()


def _after_fork() -> None:
    for decider in tuple(_DECIDERS):
        decider._in_forked_child()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)


def open_decider(
    settings: Settings, *, grants: Grants | None = None, ledger: Callable[[str], object] | None = None
) -> FollowingDecider:
    """The decider that the settings name. No engine is started before the first decision.

    Args:
        settings: Say which engine, which bundle, how often it is asked for, and where else decisions are logged.
        grants: Knows the signed exemptions and approvals; without it none holds.
        ledger: Keeps the event of each decision (`interlock.evidence.Ledger.append_decision`).

    Raises:
        SettingsError: The engine or the bundle that the settings name is not there, or what its server wants to see
            cannot be used.
        EngineMissingError: The embedded engine is not installed.
        PolicyError: The bundle cannot be used, or what it says of masking cannot be read.
        UnavailableError: The bundle's server does not answer, and no good copy of it is kept that is young enough.
    """
    loaded = find_policy(settings)
    engine = open_engine(settings, loaded.bundle)
    lines = LineFile(settings.decision_log) if settings.decision_log else None
    log = None
    if lines is not None or ledger is not None:
        log = DecisionLog(engine=engine, bundle=loaded.bundle, ledger=ledger, lines=lines)
    return FollowingDecider(
        loaded,
        PolicyDecider(engine, loaded.bundle, grants=grants, log=log),
        find=lambda: find_policy(settings),
        engine_over=lambda bundle: open_engine(settings, bundle),
    )
