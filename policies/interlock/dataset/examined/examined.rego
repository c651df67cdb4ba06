# METADATA
# title: Enough of the dataset was looked at
# description: |-
#   What nobody looked at may hold the poison. Counted are parts (files, columns) and, in a poisoning scan, rows.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.examined

import data.interlock.facts

# METADATA
# title: Looks at a dataset
# description: Gates that are not here are not judged by this rule.
looks := {"data-validation", "data-poisoning"}

# METADATA
# title: Which reports this rule judges
# description: Both looks at a dataset.
applies if {
	facts.stage == "gate"
	facts.gate in looks
}

# METADATA
# title: The fraction of parts that was looked at
# description: Undefined unless all three lists are there and name at least one part.
parts := count(looked) / count(known) if {
	is_array(input.report.coverage.looked_at)
	is_array(input.report.coverage.skipped)
	is_array(input.report.coverage.failed)
	looked := {part | some part in input.report.coverage.looked_at}
	left := {gap.path | some gap in array.concat(input.report.coverage.skipped, input.report.coverage.failed)}
	known := looked | left
	count(known) > 0
}

# METADATA
# title: The fraction of rows that was looked at
# description: Undefined unless they were counted; a validation looks at all rows.
# scope: document
rows := 1 if facts.gate == "data-validation"

rows := 1 - (facts.measure("unlabelled_rows") / facts.measure("rows")) if {
	facts.gate == "data-poisoning"
	facts.measure("unlabelled_rows") >= 0
	facts.measure("rows") > 0
}

# METADATA
# title: Enough was looked at
# description: Undefined unless the profile does not ask, or both fractions are there and large enough.
# scope: document
sound if facts.off("dataset", "min_examined")

sound if {
	parts >= facts.limit("dataset", "min_examined")
	rows >= facts.limit("dataset", "min_examined")
}

# METADATA
# title: The fractions as text
# description: Always defined.
# scope: document
default described := "an unknown fraction"

described := sprintf("a fraction of %v of the parts and %v of the rows", [facts.shown(parts), facts.shown(rows)])

# METADATA
# title: Too little of the dataset was looked at
# description: A smaller fraction than the profile asks for, or not known.
# custom:
#   id: dataset.examined
#   severity: high
#   remediation: Label the rows and take files that the gate cannot read out of the dataset, then run the gate again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"%v looked at; profile %v asks for at least %v",
		[described, facts.shown_profile, facts.shown_limit("dataset", "min_examined")],
	)
}
