"""OPA's compiler as a lint: every error with its place, and the schemas that METADATA names, checked as ``-s`` does.

The library takes no folder of schemas, but METADATA may hold a schema itself. So in the text that is compiled here,
and only here, each ``input: schema.name`` becomes the schema of that name. The rows stay what they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from interlock.gate.values import Json
from interlock.policy.authoring.lint_finding import LintFinding
from interlock.policy.authoring.sources import Sources
from interlock.policy.authoring.syntax import Parsed
from interlock.policy.authoring.workbench import Workbench
from interlock.policy.bundles.bundle import Module

_ERROR = re.compile(r"^(?P<path>[^\s:][^:\n]*):(?P<row>\d+): (?P<code>rego_\w+): (?P<message>.*)$")
_SCHEMA = re.compile(
    r"^(?P<start>\s*#\s*-\s*[\w.\[\]\"]+:\s*)schema(?P<name>(?:\.\w+|\[\"[^\"\n]+\"\])+)\s*$", re.MULTILINE
)
_READER = Module(
    path="interlock_check_reads_metadata.rego",
    source="package interlock_check_reads_metadata\n\n# METADATA\n# title: x\nread := rego.metadata.rule()\n",
)
"""OPA looks at METADATA, schemas and all, only where some rule reads it."""


def compile_findings(
    workbench: Workbench, sources: Sources, files: tuple[Parsed, ...], schemas: Mapping[str, Json]
) -> Iterator[LintFinding]:
    """Compile the files with their schemas and data.

    Args:
        workbench: It holds the files afterwards.
        sources: For the data.
        files: Everything that could be parsed.
        schemas: By the name that METADATA calls them.

    Raises:
        PolicyError: The helper cannot start or died.
    """
    modules = [replace(file.module, source=_inlined(file.module.source, schemas)) for file in files]
    for file in files:
        yield from _unknown_schemas(file, schemas)
    bundle = replace(sources.bundle, modules=(*modules, _READER), tests=())
    said = workbench.load(bundle) or workbench.ask("true").error
    if said:
        yield from findings_of(said, {file.module.path: file.module.source for file in files})


def findings_of(said: str, texts: Mapping[str, str]) -> Iterator[LintFinding]:
    """One finding for each error in what OPA said; what names no file is one without a place.

    Args:
        said: OPA's text, of one error or of many.
        texts: Source by path, to find the column.
    """
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in re.sub(r"(occurred|failed): (?=\S+:\d+: rego_)", r"\1:\n", said).splitlines():
        match = _ERROR.match(line)
        if match:
            found.append((match, []))
        elif found:
            found[-1][1].append(line)
    if not found:
        yield LintFinding(path="", row=1, column=1, rule_id="compile", message=said)
    for match, details in found:
        path, row = match["path"], int(match["row"])
        lines = texts.get(path, "").splitlines()
        quoted = details[0].strip() if details else ""
        column = lines[row - 1].find(quoted) + 1 if quoted and 0 < row <= len(lines) else 0
        more = "; ".join(detail.strip() for detail in details[1:] if detail.strip(" \t^"))
        yield LintFinding(
            path=path,
            row=row,
            column=max(1, column),
            rule_id=match["code"].removeprefix("rego_").replace("_", "-"),
            message=match["message"] + (f" ({more})" if more else ""),
        )


def _inlined(source: str, schemas: Mapping[str, Json]) -> str:
    def inline(match: re.Match[str]) -> str:
        schema = schemas.get(_name(match))
        return match.group() if schema is None else match["start"] + json.dumps(schema)

    return _SCHEMA.sub(inline, source)


def _unknown_schemas(file: Parsed, schemas: Mapping[str, Json]) -> Iterator[LintFinding]:
    for match in _SCHEMA.finditer(file.module.source):
        if _name(match) not in schemas:
            yield LintFinding(
                path=file.module.path,
                row=file.module.source.count("\n", 0, match.start()) + 1,
                column=1,
                rule_id="unknown-schema",
                message=f"undefined schema: schema.{_name(match)}",
                fix=f"one of {', '.join(f'schema.{name}' for name in sorted(schemas))}, or a file in schemas/",
            )


def _name(match: re.Match[str]) -> str:
    return ".".join(part for part in re.split(r"[.\[\]\"]+", match["name"]) if part)
