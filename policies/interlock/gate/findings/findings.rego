# METADATA
# title: No finding of level error
# description: |-
#   What a gate itself calls an error stops the step. Poisoning is judged by its measures against the profile instead
#   (`dataset.poisoning`): a detector that suspects one row of a million found something, and the profile says whether
#   that is too much.
# schemas:
#   - input: schema.decision_input
package interlock.gate.findings

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: All but poisoning.
applies if {
	is_string(input.gate)
	input.gate != "data-poisoning"
}

# METADATA
# title: Every finding is a warning or a note
# description: Undefined unless the list is there and every level is known.
sound if {
	is_array(input.report.findings)
	every finding in input.report.findings {
		tolerated(finding)
	}
}

# METADATA
# title: A finding that does not stop the step
# description: Undefined unless its level is known.
tolerated(finding) if finding.level in {"warning", "note"}

# METADATA
# title: The gate found an error
# description: A finding of level error, or findings that cannot be read.
# custom:
#   id: gate.findings
#   severity: critical
#   remediation: Remove what the finding points at, or replace the subject by one from a trusted source
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.002}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0011.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), described) if {
	applies
	not sound
}

# METADATA
# title: The first findings as text
# description: Always defined; at most three findings.
# scope: document
default described := "the findings of the report cannot be read"

described := text if {
	is_array(input.report.findings)
	errors := [sprintf("%v: %v", [object.get(f, "rule_id", "?"), object.get(f, "message", "?")]) |
		some f in input.report.findings
		is_object(f)
		not tolerated(f)
	]
	count(errors) > 0
	text := sprintf("%d found: %v", [count(errors), concat("; ", array.slice(errors, 0, 3))])
}
