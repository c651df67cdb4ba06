"""Runs inside of the sandbox, by path: looks for secrets and personal data in texts, and writes JSON without them.

Usage: ``child.py TEXTS OUT KIND...``: TEXTS is a folder of texts that are named by number. Beside it stands
``personal_data.yml``, and perhaps ``rules``, a folder of compiled rules. No secret and no personal datum goes into the
answer, only kinds, lines, and what a secret begins with.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kingfisher_sdk import Rules, Scanner

SECRETS, PERSONAL_DATA = "secrets", "personal-data"
RULES_FOLDER = "rules"
SECONDS = 60.0
MOST = 200
BEGINNING = 4
LONG = 16
MANY = 10
"""So many addresses of electronic mail are a list of people; fewer are whom to write to."""

_PHONE = re.compile(r"(?<![0-9A-Za-z+])\+[1-9][0-9 ().\-]{5,22}[0-9](?![0-9A-Za-z])")
# RFC 2606 and RFC 6761 set these names aside, and nobody reads what is sent to the others.
_NOBODY = re.compile(
    r"(?i)(?:^(?:no-?reply|do-?not-?reply|git|user(?:name)?|name|you|foo|bar)@|(?:^|[@.])example\.[a-z]+$"
    r"|\.(?:example|test|invalid|localhost|local)$|@users\.noreply\.)"
)


def secret_rules(folder: Path | None) -> Rules:
    """Kingfisher's own rules of medium and high confidence.

    Args:
        folder: Of compiled rules; None compiles them.
    """
    from kingfisher_sdk import Rules

    return Rules(confidence="medium", cache=folder is not None, cache_dir=folder)


def main() -> None:
    """See the module."""
    texts, out, kinds, beside = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:], Path(__file__).parent
    compiled = beside / RULES_FOLDER
    secrets = secret_scanner(compiled if compiled.is_dir() else None) if SECRETS in kinds else None
    personal = personal_data_scanner(beside / "personal_data.yml") if PERSONAL_DATA in kinds else None
    out.write_text(json.dumps({text.name: said(text.read_bytes(), secrets, personal) for text in texts.iterdir()}))


def secret_scanner(folder: Path | None) -> Scanner:
    """Finds secrets; see `secret_rules`."""
    from kingfisher_sdk import DetectionPolicy, Scanner

    # What a text says of itself ("ignore this line") does not count: whoever wrote it may be who is looked for.
    return Scanner(secret_rules(folder), policy=DetectionPolicy(inline_ignores=False, markup_context=False))


def personal_data_scanner(rules: Path) -> Scanner:
    """Finds personal data, but telephone numbers, by the rules of this file."""
    from kingfisher_sdk import Rules, Scanner

    return Scanner(Rules([rules], builtins=False, confidence="high", cache=False), base64=False)


def said(data: bytes, secrets: Scanner | None, personal: Scanner | None) -> dict[str, Any]:
    """What stands in one text.

    Args:
        data: Unverified, UTF-8.
        secrets: Looks for them, if somebody asked.
        personal: Looks for personal data, if somebody asked.
    """
    found: dict[str, Any] = {}
    try:
        if secrets is not None:
            found[SECRETS] = _secrets(data, secrets)
        if personal is not None:
            found[PERSONAL_DATA] = _kinds(data, personal)
    except Exception as error:  # noqa: BLE001 (whatever it is, the host is told)
        return {"why": f"{type(error).__name__}: {error}"[:200]}
    return found


def _secrets(data: bytes, scanner: Scanner) -> dict[str, Any]:
    """Each secret once; where rules of two kinds find the same, the surer one counts."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for one in scanner.scan(data, timeout=SECONDS):
        line = one.location["line"]
        # A rule of medium confidence has low confidence in what looks made up (`postgres://user:pass@host`).
        likely = one.visible and one.confidence != "low"
        if likely and (one.confidence == "high" or (line, one.secret) not in found):
            found[line, one.secret] = {
                "kind": one.rule_id.rpartition("/")[2].partition("betterleaks.")[2] or one.rule_id,
                "line": line,
                "sure": one.confidence == "high",
                "beginning": one.secret[:BEGINNING] if len(one.secret) >= LONG else "",
            }
    ordered = sorted(found.values(), key=lambda one: (not one["sure"], one["line"], one["kind"]))
    return {"count": len(ordered), "first": ordered[:MOST]}


def _kinds(data: bytes, scanner: Scanner) -> dict[str, int]:
    """How many different values of each kind."""
    values: dict[str, set[str]] = {}
    for one in scanner.scan(data, timeout=SECONDS):
        kind = one.rule_id.split(".")[1]
        if kind != "email-address" or not _NOBODY.search(one.secret):
            values.setdefault(kind, set()).add(re.sub(r"[ -]", "", one.secret).lower())
    values["phone-number"] = set(_phone_numbers(data.decode()))
    if len(values.get("email-address", ())) < MANY:
        values.pop("email-address", None)
    return {kind: len(some) for kind, some in sorted(values.items()) if some}


def _phone_numbers(text: str) -> Iterator[str]:
    """Those with a country's code, as far as its numbering plan has them (ITU-T E.164)."""
    from phonenumbers import NumberParseException, is_valid_number, parse

    for digits in {match[0] for match in _PHONE.finditer(text)}:
        try:
            if is_valid_number(parse(digits)):
                yield re.sub(r"[^0-9]", "", digits)
        except NumberParseException:
            continue


if __name__ == "__main__":
    main()
