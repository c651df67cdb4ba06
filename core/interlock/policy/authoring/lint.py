"""`interlock policy check`: OPA's compiler, its strict mode, and the lint that asks whether a policy fails closed."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.authoring.lint_compile import compile_findings, findings_of
from interlock.policy.authoring.lint_finding import LintFinding, LintLevel
from interlock.policy.authoring.lint_metadata import metadata_findings, twin_ids
from interlock.policy.authoring.lint_shapes import shape_findings
from interlock.policy.authoring.lint_strict import strict_findings
from interlock.policy.authoring.sources import Sources
from interlock.policy.authoring.syntax import Parsed, parse
from interlock.policy.authoring.workbench import Workbench
from interlock.policy.bundles.bundle import packaged_folder
from interlock.policy.engines.forbidden import banned_names

_IGNORE = re.compile(r"^\s*#\s*(interlock|regal) ignore:(?P<ids>[\w\s,-]+)$")
_REGAL = {"with-outside-test-context": "with-in-rule"}
"""What Regal calls the same finding; one comment is enough for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check came to.

    Args:
        findings: By path, row and column.
        files: How many files were looked at.
        tests_seen: Whether there were tests; without any, nothing is said of rules that have none.
    """

    findings: tuple[LintFinding, ...]
    files: int
    tests_seen: bool

    @property
    def clean(self) -> bool:
        """Whether there is no error among the findings."""
        return not any(finding.level is LintLevel.ERROR for finding in self.findings)


def check_policies(workbench: Workbench, sources: Sources, schemas: Mapping[str, Json]) -> Checked:
    """Look at every file of `sources`, rules and tests.

    Args:
        workbench: Not loaded yet; it holds the policies afterwards.
        sources: What to check.
        schemas: JSON Schemas by the name that METADATA calls them; see `read_schemas`.

    Raises:
        PolicyError: The helper cannot start or died.
    """
    files, broken = parse(workbench, sources.modules)
    texts = {module.path: module.source for module in sources.modules}
    findings = [
        replace(one, path=one.path or path) for path, said in broken.items() for one in findings_of(said, texts)
    ]
    banned = [finding for file in files for finding in _banned(file)]
    if not broken and not banned:  # a file that is missing would make others fail for no fault of theirs
        findings += compile_findings(workbench, sources, files, schemas)
    for file in files:
        findings += strict_findings(file)
        if not file.is_test:
            findings += [*metadata_findings(file), *shape_findings(file)]
    findings += [*banned, *twin_ids(files), *_twin_tests(files)]
    if sources.bundle.tests:
        findings += _untested(files)
    said = {(file.module.path, row, rule_id) for file in files for row, rule_id in _ignored(file)}
    findings = [one for one in findings if (one.path, one.row, one.rule_id) not in said]
    ordered = sorted(set(findings), key=lambda one: (one.path, one.row, one.column, one.rule_id, one.message))
    return Checked(findings=tuple(ordered), files=len(sources.modules), tests_seen=bool(sources.bundle.tests))


def read_schemas(policies: Sequence[Path]) -> dict[str, Json]:
    """The schemas that Interlock publishes, and those in the ``schemas`` folder of each policy that is a folder.

    Raises:
        PolicyError: One is no JSON.
    """
    found: dict[str, Json] = {}
    for folder in (packaged_folder(), *(path for path in policies if path.is_dir())):
        for path in sorted((folder / "schemas").glob("*.json")):
            try:
                found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise PolicyError(f"a schema cannot be read: {error}", where=str(path)) from error
    return found


def _ignored(file: Parsed) -> Iterator[tuple[int, str]]:
    """Rows and findings that a comment right above says are meant; nobody can ignore a banned builtin."""
    for row, line in enumerate(file.module.source.splitlines(), 1):
        match = _IGNORE.match(line)
        if match:
            ids = [_REGAL.get(name, name) for name in re.split(r"[\s,]+", match["ids"].strip())]
            yield from ((row + 1, name) for name in ids if name != "banned-builtin")


def _banned(file: Parsed) -> Iterator[LintFinding]:
    for name in sorted(set(banned_names(file.tree))):
        words = tuple(name.replace(".", " . ").split())
        row, column = next(
            (rule.place(*words) for rule in file.rules if any(token.text == words[0] for token in rule.tokens)), (1, 1)
        )
        yield LintFinding(
            path=file.module.path,
            row=row,
            column=column,
            rule_id="banned-builtin",
            message=f"a policy may not use {name}: it would decide by what this machine can reach",
            fix="hand the fact over in the input or as data",
        )


def _twin_tests(files: Sequence[Parsed]) -> Iterator[LintFinding]:
    seen: dict[str, str] = {}
    for file in files:
        for rule in file.rules:
            if rule.name.startswith(("test_", "todo_test_")):
                full, place = f"{file.package}.{rule.name}", f"{file.module.path}:{rule.row}"
                if full in seen:
                    yield LintFinding(
                        path=file.module.path,
                        row=rule.row,
                        column=1,
                        rule_id="twin-test",
                        message=f"{rule.name} is at {seen[full]} too; the one that holds hides the other",
                        fix="give it a name of its own",
                    )
                seen.setdefault(full, place)


def _untested(files: Sequence[Parsed]) -> Iterator[LintFinding]:
    """Packages that no test imports, directly or through a package that is tested."""
    packages: dict[str, list[Parsed]] = defaultdict(list)
    for file in files:
        packages[file.package].append(file)
    reached: set[str] = set()
    left = [file.package for file in files if file.is_test]
    while left:
        package = left.pop()
        if package in reached:
            continue
        reached.add(package)
        tested = package.removesuffix("_test")
        left += [tested] if tested in packages else []
        named = [path.removeprefix("data.") for file in packages[package] for path in file.imports.values()]
        left += [known for known in packages for name in named if known == name or name.startswith(f"{known}.")]
    for file in files:
        if not file.is_test and file.package not in reached:
            yield LintFinding(
                path=file.module.path,
                row=1,
                column=1,
                rule_id="untested",
                message=f"no test reads data.{file.package}",
                fix=f"write {Path(file.module.path).stem}_test.rego beside it, in package {file.package}_test",
            )
