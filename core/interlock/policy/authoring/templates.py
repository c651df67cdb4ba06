"""`interlock policy new`: a rule that fails closed from its first line, with its tests, metadata and parameter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any

from interlock.gate.errors import UsageError

PACKS = ("dataset", "deployment", "evidence", "gate", "model", "pipeline", "training")
"""The packs whose `deny` and `warn` the decision collects; a rule elsewhere would never be asked."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

_RULE = Template("""\
# METADATA
# title: $title
# description: Denies a report with fewer rows than data asks for. Say here what your rule is about.
# schemas:
#   - input: schema.decision_input
package interlock.$pack.$rule

# METADATA
# title: Which reports this rule judges
# description: Those of every gate; name the gates that it is for.
applies if input.stage == "gate"

# METADATA
# title: The least number of rows
# description: Undefined unless data has it as a number.
minimum := value if {
	value := data.parameters.$pack.$rule.minimum
	is_number(value)
}

# METADATA
# title: What must hold
# description: Undefined when a field is missing or has another type, so that the denial below fires.
sound if {
	is_number(input.report.measures.rows.value)
	input.report.measures.rows.value >= minimum
}

# METADATA
# title: What is asked, as text
# description: Always defined, because a denial must not vanish together with its message.
# scope: document
default asked := "a number that data does not have"

asked := sprintf("at least %v", [minimum])

# METADATA
# title: $title
# description: Fires when `sound` does not hold, or cannot be told.
# custom:
#   id: $pack.$id
#   severity: high
#   remediation: Say here what to do about it
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
deny contains reason if {
	applies
	not sound
	about := rego.metadata.rule()
	reason := {
		"id": object.get(about, ["custom", "id"], "policy.rule-without-metadata"),
		"title": object.get(about, "title", "A rule without a title"),
		"severity": object.get(about, ["custom", "severity"], "critical"),
		"message": sprintf("%v rows; asked: %v", [
			object.get(input, ["report", "measures", "rows", "value"], "(none)"),
			asked,
		]),
		"remediation": object.get(about, ["custom", "remediation"], ""),
		"controls": object.get(about, ["custom", "controls"], []),
	}
}
""")

_TEST = Template("""\
# METADATA
# title: Tests of $pack.$id
package interlock.$pack.${rule}_test

import data.interlock.$pack.$rule

allowed := {"stage": "gate", "report": {"measures": {"rows": {"value": 1000}}}}

enough := {"minimum": 100}

test_enough_rows_pass if {
	$rule.deny == set() with input as allowed with data.parameters.$pack.$rule as enough
}

test_too_few_rows_are_denied if {
	few := json.patch(allowed, [{"op": "replace", "path": "/report/measures/rows/value", "value": 99}])
	{[reason.id, reason.message] | some reason in $rule.deny} == {[
		"$pack.$id",
		"99 rows; asked: at least 100",
	]} with input as few with data.parameters.$pack.$rule as enough
}

test_every_field_read_must_be_there_with_its_type if {
	every path in ["/report", "/report/measures", "/report/measures/rows", "/report/measures/rows/value"] {
		every patch in [
			{"op": "remove", "path": path},
			{"op": "replace", "path": path, "value": null},
			{"op": "replace", "path": path, "value": "1000"},
		] {
			spoiled := json.patch(allowed, [patch])
			count($rule.deny) == 1 with input as spoiled with data.parameters.$pack.$rule as enough
		}
	}
}

test_the_parameter_must_be_a_number if {
	every wrong in [{}, {"minimum": null}, {"minimum": "100"}] {
		count($rule.deny) == 1 with input as allowed with data.parameters.$pack.$rule as wrong
	}
}

test_other_stages_are_not_judged if {
	$rule.deny == set() with input as {"stage": "guard"}
}
""")


_REGAL = """\
rules:
  idiomatic:
    no-defined-entrypoint:
      level: ignore # a layer is entered through the decision of the policy below it
  imports:
    unresolved-reference:
      except-paths: # Regal reads no data.json
        - data.parameters.**
"""


def new_rule(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a rule, its test and its parameter under `folder`, which becomes or stays a bundle.

    Args:
        name: ``pack/rule``, for example ``dataset/acme_rows``.
        folder: Root of a bundle, such as an organisation's layer; made when it is not there.

    Returns:
        What was written.

    Raises:
        UsageError: The name is none, its pack is never asked, a file is there already, or nothing can be written.
    """
    pack, _, rule = name.partition("/")
    if pack not in PACKS or not _NAME.fullmatch(rule):
        raise UsageError(
            "a rule is named PACK/RULE in lower case and underscores",
            where=name,
            next_step=f"for example dataset/acme_rows; a decision asks the packs {', '.join(PACKS)}",
        )
    words = {"pack": pack, "rule": rule, "id": rule.replace("_", "-"), "title": rule.replace("_", " ").capitalize()}
    home = folder / "interlock" / pack / rule
    files = {
        home / f"{rule}.rego": _RULE.substitute(words),
        home / f"{rule}_test.rego": _TEST.substitute(words),
        folder / "parameters" / pack / rule / "data.json": json.dumps({"minimum": 100}, indent=2) + "\n",
    }
    there = next((path for path in files if path.exists()), None)
    if there is not None:
        raise UsageError("a file is there already", where=str(there), next_step="take another name, or edit that rule")
    manifest = folder / ".manifest"
    if not manifest.exists() and not _regal_is_set_up(folder):
        files[folder / ".regal.yaml"] = _REGAL
    files[manifest] = _manifest(manifest, f"interlock/{pack}/{rule}", f"parameters/{pack}/{rule}")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the rule cannot be written: {error.strerror}", where=str(error.filename)) from error
    return tuple(files)


def _regal_is_set_up(folder: Path) -> bool:
    """Whether Regal finds a configuration of the author's own, from this folder upwards."""
    above = folder.resolve()
    return any(
        (place / ".regal" / "config.yaml").exists() or (place / ".regal.yaml").exists()
        for place in (above, *above.parents)
    )


def _manifest(path: Path, home: str, parameters: str) -> str:
    """The manifest with roots for the rule, its tests and its parameter, as far as it does not have them."""
    try:
        manifest: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        manifest = {"revision": "", "roots": [], "rego_version": 1}
    except (OSError, ValueError) as error:
        raise UsageError(f"the manifest cannot be read: {error}", where=str(path)) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("roots", [""]), list):
        raise UsageError("the manifest is no JSON object with a list of roots", where=str(path))
    roots = [str(root).strip("/") for root in manifest.get("roots", [""])]
    for root in (home, f"{home}_test", parameters):
        if not any(not known or f"{root}/".startswith(f"{known}/") for known in roots):
            roots.append(root)
    return json.dumps({**manifest, "roots": roots}, indent=2) + "\n"
