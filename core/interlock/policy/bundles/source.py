"""Where policy comes from: the one way in, for everything that decides or asks what is required.

A bundle of a URL that is new and bad (badly signed, broken) is refused until the cause is gone: somebody wants other
policy here than was signed. A server that only does not answer is no attack on what was verified before: the last good
copy goes on deciding, and says so.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from interlock.gate.errors import InterlockError, PolicyError, SettingsError, UnavailableError
from interlock.gate.settings import Settings
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.bundles.kept import Kept, confirm, keep, place_of, read_kept
from interlock.policy.bundles.keys import PolicyKeys
from interlock.policy.bundles.layers import layered

_LOG = logging.getLogger(__name__)


def load_policy(settings: Settings, *, online: bool = True) -> Bundle:
    """The policy that the settings name: the base, with the layers over it, each verified.

    Args:
        settings: `policy`, `policy_layers`, `policy_keys`, `allow_unsigned_policy`, `policy_poll` and `home` count.
        online: Whether a server may be asked. DAG parsing never asks one: it reads the copy that is kept here.

    Raises:
        SettingsError: A bundle or the folder of keys is not there, or a URL is not to be used like this.
        PolicyError: A bundle cannot be used: broken, not signed as the keys ask for, or it does not fit the others.
        UnavailableError: A server does not answer, and no good copy of its bundle is kept.
    """
    keys = PolicyKeys.load(Path(settings.policy_keys).expanduser()) if settings.policy_keys else None
    base = _one(settings.policy, settings, keys, online=online)
    return layered(base, [_one(layer, settings, keys, online=online) for layer in settings.policy_layers])


def _one(location: str, settings: Settings, keys: PolicyKeys | None, *, online: bool) -> Bundle:
    if "://" not in location:
        return Bundle.load(location, keys=keys)
    from interlock.policy.bundles.remote import check_url, shown_url

    check_url(location)
    origin = shown_url(location)
    if keys is None and not settings.allow_unsigned_policy:
        raise SettingsError(
            "a bundle from a URL must be signed",
            where=origin,
            next_step="set `policy_keys` to a folder with the public key, or `allow_unsigned_policy` if you mean it",
        )
    place = place_of(settings.home, location)
    kept = read_kept(place, location)
    try:
        good = Bundle.unpack(kept.content, origin=origin, keys=keys) if kept is not None else None
    except PolicyError as error:
        if not online:
            raise
        _LOG.warning("the kept copy of policy is not used: %s", error)
        kept = good = None
    if not online:
        if good is None:
            raise PolicyError(
                "no copy of the bundle is kept on this machine, and here no server is asked",
                where=origin,
                next_step="run `interlock policy fetch` once, and whenever policy changes",
            )
        return good
    if good is not None and kept is not None and 0 <= kept.age < settings.policy_poll:
        return good
    return _asked(location, place, kept, good, keys)


def _asked(url: str, place: Path, kept: Kept | None, good: Bundle | None, keys: PolicyKeys | None) -> Bundle:
    """What the server has now, or the kept copy when it cannot be asked."""
    from interlock.policy.bundles.remote import fetch, shown_url

    try:
        fresh = fetch(url, etag=kept.etag if kept is not None else "")
    except UnavailableError as error:
        if good is None or kept is None:
            raise
        return _noting(good, f"{error.what} ({shown_url(url)}); deciding by the copy of {_ago(kept.age)}")
    if fresh is None and good is not None:
        confirm(place)
        return good
    if fresh is None:  # nothing was asked for by its etag
        raise PolicyError("the bundle server sends nothing", where=shown_url(url), next_step="check the bundle server")
    bundle = Bundle.unpack(fresh.content, origin=shown_url(url), keys=keys)
    try:
        keep(place, url, fresh.content, fresh.etag)
    except InterlockError as error:
        return _noting(bundle, str(error))
    return bundle


def _noting(bundle: Bundle, note: str) -> Bundle:
    _LOG.warning("policy: %s", note)
    return replace(bundle, notes=(*bundle.notes, note))


def _ago(seconds: float) -> str:
    """How old, for a person."""
    if seconds < 0:
        return "a time after now"
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
