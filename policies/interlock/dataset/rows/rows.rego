# METADATA
# title: The dataset has rows
# description: An empty table satisfies every expectation and holds no poison.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.rows

import data.interlock.facts

# METADATA
# title: Section of the profile for each gate
# description: Gates that are not here are not judged by this rule.
sections := {"data-validation": "validation", "data-poisoning": "poisoning"}

# METADATA
# title: Which reports this rule judges
# description: Both looks at a dataset.
applies if {
	facts.stage == "gate"
	sections[facts.gate]
}

# METADATA
# title: Enough rows
# description: Undefined unless the gate counted them.
sound if facts.at_least("rows", sections[facts.gate], "min_rows")

# METADATA
# title: Too few rows
# description: Fewer rows than the profile asks for, or not counted.
# custom:
#   id: dataset.rows
#   severity: high
#   remediation: Check the path and the partition that the pipeline asked for; the data may not have arrived yet
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"%v rows; profile %v asks for at least %v",
		[facts.shown_measure("rows"), facts.shown_profile, facts.shown_limit(sections[facts.gate], "min_rows")],
	)
}
