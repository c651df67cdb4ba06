"""Which engine answers: the one that the settings name, or with ``auto`` the best one that is there.

A named engine that is missing is an error. Nothing is ever asked of another one instead: the settings say where policy
is decided, and a decision made elsewhere would be one that nobody chose.
"""

from __future__ import annotations

from interlock.gate.settings import Settings
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.engine import PolicyEngine
from interlock.policy.engines.install import EngineMissingError, locate


def open_engine(settings: Settings, bundle: Bundle, *, exactly: bool = False) -> PolicyEngine:
    """The engine that the settings name, over `bundle`. Nothing is started or asked before the first question.

    With ``auto``: the server when `opa_url` is set, else the embedded engine when it is installed, else the ``opa``
    program that `opa_binary` names or PATH has.

    Args:
        settings: Which engine, and where it is.
        bundle: What it evaluates. A server evaluates its own.
        exactly: A server's answer counts only when it has this very bundle; so it does too when the settings name a
            policy or layers.

    Raises:
        SettingsError: The named engine is not there, or its settings cannot be used.
        MissingExtraError: opa-python-client is not installed, which the server engine needs.
        EngineMissingError: The embedded engine is not installed, and with ``auto`` no other one is there either.
    """
    wanted = settings.engine
    if wanted == "server" or (wanted == "auto" and settings.opa_url):
        return _server(settings, bundle, exactly=exactly)
    if wanted == "binary":
        return _binary(settings, bundle)
    try:
        return _embedded(settings, bundle)
    except EngineMissingError:
        from interlock.policy.engines.binary import is_there

        if wanted != "auto" or not is_there(settings.opa_binary):
            raise
        return _binary(settings, bundle)


def _server(settings: Settings, bundle: Bundle, *, exactly: bool) -> PolicyEngine:
    from interlock.policy.engines.endpoint import endpoint_of
    from interlock.policy.engines.server import ServerEngine

    named = exactly or settings.policy or settings.policy_layers
    return ServerEngine(endpoint_of(settings), expected_digest=bundle.digest if named else "")


def _binary(settings: Settings, bundle: Bundle) -> PolicyEngine:
    from interlock.policy.engines.binary import BinaryEngine, find_program

    return BinaryEngine(bundle, program=find_program(settings.opa_binary), deadline=settings.engine_deadline)


def _embedded(settings: Settings, bundle: Bundle) -> PolicyEngine:
    from interlock.policy.engines.embedded import EmbeddedEngine

    return EmbeddedEngine(
        bundle, deadline=settings.engine_deadline, library=locate(settings), helpers=settings.engine_helpers
    )
