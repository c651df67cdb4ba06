"""What a step is set to, told without telling it: the name of a variable or parameter, and the shape of its value.

Policy judges credentials that stand in a pipeline's text. Were the values in the report, they would stand in the
evidence, in the ledger and in the decision log as well; so only the shape goes there, found here by the forms in which
well-known credentials are issued. Which shapes are harmless is policy's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_SHAPES = {
    "private-key": re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"),
    "aws-access-key": re.compile(r"\b(AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    "github-token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
    "gitlab-token": re.compile(r"\bgl(pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,}"),
    "huggingface-token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "openai-key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "slack-token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "google-api-key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "azure-connection": re.compile(r"(AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{20,}", re.IGNORECASE),
    "jwt": re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
    "url-with-password": re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^/\s:@]{0,255}:[^/\s@]{1,255}@", re.IGNORECASE),
    "authorization-header": re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{16,}", re.IGNORECASE),
}
"""Forms in which credentials are issued; the first that is found names the shape."""

_REFERENCE = re.compile(
    r"\{\{[^{}]{1,500}\}\}"  # Airflow's and Argo's templates
    r"|\$\{[A-Za-z_][A-Za-z0-9_]{0,100}\}|\$\([A-Za-z_][A-Za-z0-9_]{0,100}\)|\$[A-Za-z_][A-Za-z0-9_]{0,100}"
)
_LONGEST = 65_536
"""Characters of one value that are looked at; a longer one is `too-long`, which no shipped profile calls harmless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value that stands in the text of a pipeline.

    Args:
        name: Of the variable, parameter or argument; untrusted.
        kind: ``env``, ``parameter`` or ``argument``.
        shape: ``empty``, ``reference`` (the value comes from elsewhere at run time), ``plain``, ``too-long``, or the
            kind of credential that it has the form of.
    """

    name: str
    kind: str
    shape: str

    @classmethod
    def of(cls, name: str, kind: str, value: str) -> Self:
        """Take the shape of `value` (untrusted text) and forget the value."""
        return cls(name=name, kind=kind, shape=shape_of(value))


def shape_of(value: str) -> str:
    """Name the shape of one value; see `Setting`. A reference is one only when nothing else stands beside it."""
    if not value:
        return "empty"
    if len(value) > _LONGEST:
        return "too-long"
    for name, form in _SHAPES.items():
        if form.search(value):
            return name
    return "reference" if _REFERENCE.fullmatch(value.strip()) else "plain"
