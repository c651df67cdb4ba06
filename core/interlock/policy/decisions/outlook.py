"""What policy would make of an exemption, told to people who sign and list them before a gate needs it.

Policy is asked, as at every decision: which reasons nothing sets aside, and what a profile accepts, are its business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.gate.documents import timestamp
from interlock.gate.errors import InterlockError
from interlock.gate.settings import Settings
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.bundles.source import load_policy
from interlock.policy.engines.choose import open_engine

OUTLOOK_PATH = "data.interlock.exemptions.outlook"
"""Where the shipped policy says it."""

_METADATA = re.compile(r"^# METADATA$\n((?:^#.*$\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What can become of one exemption under one profile.

    Args:
        flaws: Why it would not count at all.
        stays: The reasons among those that it names that it would not set aside.
    """

    flaws: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


def outlooks(
    settings: Settings, asked: Sequence[tuple[str, Mapping[str, Json]]], *, now: datetime
) -> tuple[Outlook, ...]:
    """Ask policy about exemptions, each as if it were brought to its own gate, for its own subject, now.

    Args:
        settings: Name the policy and the engine.
        asked: A profile, and an exemption as `interlock.evidence.Exemption.document` writes it.
        now: UTC.

    Returns:
        In the order of `asked`. Where policy cannot be asked, or says nothing of exemptions, that is the flaw: what is
        not known to count is not called good.
    """
    if not asked:
        return ()
    try:
        engine = open_engine(settings, load_policy(settings))
    except InterlockError as error:
        return tuple(Outlook(flaws=(f"the policy cannot be asked: {error}",)) for _ in asked)
    try:
        found = []
        for profile, exemption in asked:
            try:
                answer = engine.evaluate(OUTLOOK_PATH, _question(profile, exemption, now)).value
                found.append(_outlook(answer))
            except InterlockError as error:
                found.append(Outlook(flaws=(f"the policy cannot be asked: {error}",)))
        return tuple(found)
    finally:
        engine.close()


def reason_ids(bundle: Bundle) -> frozenset[str]:
    """The ids that rules of a policy give their reasons in METADATA."""
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    found = set()
    for module in bundle.modules:
        for block in _METADATA.findall(module.source):
            if "id:" not in block:
                continue
            try:
                fields = yaml.safe_load(re.sub(r"^# ?", "", block, flags=re.MULTILINE))
            except yaml.YAMLError:
                continue  # `interlock policy check` says so
            custom = fields.get("custom") if isinstance(fields, dict) else None
            if isinstance(custom, dict) and isinstance(custom.get("id"), str):
                found.add(custom["id"])
    return frozenset(found)


def _question(profile: str, exemption: Mapping[str, Json], now: datetime) -> dict[str, Json]:
    digest = exemption.get("digest")
    return {
        "gate": exemption["gate"],
        "stage": "gate",
        "profile": profile,
        "now": timestamp(now),
        "subject": {"name": exemption.get("subject", ""), "uri": "", "digest": digest if digest else {}},
        "exemptions": [dict(exemption)],
    }


def _outlook(answer: Json) -> Outlook:
    match answer:
        case [{"flaws": [*flaws], "stays": [*stays]}]:
            return Outlook(flaws=tuple(map(str, flaws)), stays=tuple(map(str, stays)))
    return Outlook(flaws=(f"the policy in force says nothing of exemptions ({OUTLOOK_PATH})",))
