# METADATA
# title: The subject was looked at
# description: No findings and nothing looked at are two different things.
# schemas:
#   - input: schema.decision_input
package interlock.gate.coverage

import data.interlock.facts

# METADATA
# title: Some part was looked at
# description: Undefined unless the list is there and holds something.
looked if {
	is_array(input.report.coverage.looked_at)
	count(input.report.coverage.looked_at) > 0
}

# METADATA
# title: No part failed
# description: Undefined unless the list is there and empty.
whole if {
	is_array(input.report.coverage.failed)
	count(input.report.coverage.failed) == 0
}

# METADATA
# title: No more was skipped than the profile accepts
# description: Undefined unless the list is there, and is empty or the profile accepts skipped parts.
# scope: document
skipping_accepted if {
	is_array(input.report.coverage.skipped)
	count(input.report.coverage.skipped) == 0
}

skipping_accepted if {
	is_array(input.report.coverage.skipped)
	facts.profile.coverage.accept_skipped == true
}

# METADATA
# title: Nothing was looked at
# description: A gate that examined nothing has said nothing.
# custom:
#   id: gate.nothing-looked-at
#   severity: critical
#   remediation: Check that the subject is not empty and that the gate understands its format
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	not looked
	message := sprintf("nothing of the subject was looked at (looked_at: %v)", [listed("looked_at")])
}

# METADATA
# title: A part could not be examined
# description: What could not be read may hide anything.
# custom:
#   id: gate.coverage-failed
#   severity: critical
#   remediation: Repair or remove the parts named here, then run the gate again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	not whole
	message := sprintf("parts of the subject could not be examined: %v", [listed("failed")])
}

# METADATA
# title: A part was skipped
# description: The profile wants every part examined.
# custom:
#   id: gate.coverage-skipped
#   severity: high
#   remediation: Remove the skipped parts from the subject, or use a gate that can examine them
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	not skipping_accepted
	message := sprintf("profile %v accepts no skipped parts: %v", [facts.shown_profile, listed("skipped")])
}

# METADATA
# title: A part was skipped
# description: The profile accepts it.
# custom:
#   id: gate.coverage-skipped
#   severity: low
#   remediation: Remove the skipped parts from the subject, or use a gate that can examine them
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
warn contains facts.reason(rego.metadata.rule(), message) if {
	skipping_accepted
	count(input.report.coverage.skipped) > 0
	message := sprintf("parts of the subject were skipped: %v", [listed("skipped")])
}

# METADATA
# title: A list of the coverage as text
# description: Always defined; at most five entries.
listed(name) := text if {
	entries := input.report.coverage[name]
	is_array(entries)
	texts := [sprintf("%v (%v)", [object.get(entry, "path", "?"), object.get(entry, "reason", "?")]) |
		some entry in array.slice(entries, 0, 5)
		is_object(entry)
	]
	text := concat("; ", array.concat(texts, [sprintf("and %d more", [count(entries) - 5]) | count(entries) > 5]))
	text != ""
} else := sprintf("%v", [object.get(input, ["report", "coverage", name], "(none)")])
