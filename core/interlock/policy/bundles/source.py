"""Where policy comes from: the one way in, for everything that decides or asks what is required.

A bundle of a URL that is new and bad (badly signed, broken) is refused until the cause is gone: somebody wants other
policy here than was signed. A server that only does not answer is no attack on what was verified before: the last good
copy goes on deciding, and says so, until its server has not confirmed it for `policy_max_age`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.gate.errors import InterlockError, PolicyError, SettingsError, UnavailableError
from interlock.gate.settings import Settings
from interlock.policy.bundles.access import Access, access_of
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.bundles.kept import Kept, confirm, keep, place_of, read_kept
from interlock.policy.bundles.keys import PolicyKeys
from interlock.policy.bundles.layers import layered

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Policy as it was found.

    Args:
        bundle: The policy.
        seconds: How long it may decide before its servers are to be asked again; infinite where none is.
        behind: Why what is kept here is not what a server has now, or could not be kept; empty when it is.
    """

    bundle: Bundle
    seconds: float = math.inf
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One bundle of a URL, and how it is had."""

    url: str
    shown: str
    place: Path
    keys: PolicyKeys | None
    access: Access
    poll: float
    max_age: float

    def loaded(self, bundle: Bundle, *, age: float = 0.0, behind: str = "") -> Loaded:
        """The bundle, to be asked for again in time; `age` in seconds is negative within the leeway of clocks."""
        if behind:
            _LOG.warning("policy: %s", behind)
            bundle = replace(bundle, notes=(*bundle.notes, behind))
        seconds = max(0.0, min(self.poll, self.max_age - age))
        return Loaded(bundle=bundle, seconds=seconds, behind=(behind,) if behind else ())


def load_policy(settings: Settings, *, online: bool = True) -> Bundle:
    """The policy that the settings name: the base, with the layers over it, each verified.

    Args:
        settings: All that begin with `policy`, `allow_unsigned_policy` and `home` count.
        online: Whether a server may be asked. DAG parsing never asks one: it reads the copy that is kept here.

    Raises:
        SettingsError: A bundle, the folder of keys or a file with credentials is not there or not to be used, or a URL
            is not.
        PolicyError: A bundle cannot be used: broken, not signed as the keys ask for, or it does not fit the others; or
            no server may be asked, and the kept copy is too old.
        UnavailableError: A server does not answer, and no good copy of its bundle is kept that is young enough.
    """
    return find_policy(settings, online=online).bundle


def find_policy(settings: Settings, *, online: bool = True) -> Loaded:
    """As `load_policy`, with how long it may decide."""
    locations = (settings.policy, *settings.policy_layers)
    keys = PolicyKeys.load(Path(settings.policy_keys).expanduser()) if settings.policy_keys else None
    access = _access(settings, [location for location in locations if "://" in location])
    found = [_one(location, settings, keys, access, online=online) for location in locations]
    bundle = layered(found[0].bundle, [layer.bundle for layer in found[1:]])
    behind = tuple(why for one in found for why in one.behind)
    return Loaded(bundle=bundle, seconds=min(one.seconds for one in found), behind=behind)


def _access(settings: Settings, urls: Sequence[str]) -> Access:
    if urls:
        from interlock.policy.bundles.remote import check_url

        for url in urls:
            check_url(url)
    return access_of(settings, urls)


def _one(location: str, settings: Settings, keys: PolicyKeys | None, access: Access, *, online: bool) -> Loaded:
    if "://" not in location:
        return Loaded(bundle=Bundle.load(location, keys=keys))
    from interlock.policy.bundles.remote import shown_url

    source = _Source(
        url=location,
        shown=shown_url(location),
        place=place_of(settings.home, location),
        keys=keys,
        access=access,
        poll=settings.policy_poll,
        max_age=settings.policy_max_age,
    )
    if keys is None and not settings.allow_unsigned_policy:
        raise SettingsError(
            "a bundle from a URL must be signed",
            where=source.shown,
            next_step="set `policy_keys` to a folder with the public key, or `allow_unsigned_policy` if you mean it",
        )
    kept = read_kept(source.place, location)
    try:
        good = Bundle.unpack(kept.content, origin=source.shown, keys=keys) if kept is not None else None
    except PolicyError as error:
        if not online:
            raise
        _LOG.warning("the kept copy of policy is not used: %s", error)
        kept = good = None
    if not online:
        return _kept_only(source, kept, good)
    if good is not None and kept is not None and 0 <= kept.age < min(source.poll, source.max_age):
        return Loaded(bundle=good, seconds=min(source.poll, source.max_age) - kept.age)
    return _asked(source, kept, good)


def _kept_only(source: _Source, kept: Kept | None, good: Bundle | None) -> Loaded:
    if good is None or kept is None:
        raise PolicyError(
            "no copy of the bundle is kept on this machine, and here no server is asked",
            where=source.shown,
            next_step="run `interlock policy fetch` once, and whenever policy changes",
        )
    if not kept.is_within(source.max_age):
        raise PolicyError(
            f"{_too_old(kept, source)}, and here no server is asked",
            where=source.shown,
            next_step="run `interlock policy fetch`, and let a timer do so more often than `policy_max_age`",
        )
    return source.loaded(good, age=kept.age)


def _asked(source: _Source, kept: Kept | None, good: Bundle | None) -> Loaded:
    """What the server has now, or the kept copy when it cannot be asked."""
    from interlock.policy.bundles.remote import fetch

    try:
        fresh = fetch(source.url, etag=kept.etag if kept is not None else "", access=source.access)
    except UnavailableError as error:
        if good is None or kept is None:
            raise
        if not kept.is_within(source.max_age):
            what = f"{error.what}, and {_too_old(kept, source)}"
            raise UnavailableError(what, where=source.shown, next_step=error.next_step) from error
        still = f"deciding by the copy of {_ago(kept.age)}, until it is {_span(source.max_age)} old"
        return source.loaded(good, age=kept.age, behind=f"{error.what} ({source.shown}); {still}")
    if fresh is None and good is not None and kept is not None:
        try:
            confirm(source.place, kept)
        except InterlockError as error:
            return source.loaded(good, behind=str(error))
        return source.loaded(good)
    if fresh is None:  # nothing was asked for by its etag
        raise PolicyError("the bundle server sends nothing", where=source.shown, next_step="check the bundle server")
    bundle = Bundle.unpack(fresh.content, origin=source.shown, keys=source.keys)
    try:
        keep(source.place, source.url, fresh.content, fresh.etag)
    except InterlockError as error:
        return source.loaded(bundle, behind=str(error))
    return source.loaded(bundle)


def _too_old(kept: Kept, source: _Source) -> str:
    if kept.age < 0:
        return "the kept copy was confirmed at a time after now: the clock was set back, and its age cannot be told"
    return f"the kept copy was last confirmed {_ago(kept.age)}; `policy_max_age` is {_span(source.max_age)}"


def _ago(seconds: float) -> str:
    """How old, for a person."""
    return "a time after now" if seconds < 0 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
