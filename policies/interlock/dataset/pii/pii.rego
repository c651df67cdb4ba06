# METADATA
# title: The dataset is not more personal than permitted
# description: A model remembers what it was trained on, and gives it away.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.pii

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Validation, which reads the dataset's card and asks its storage.
applies if {
	facts.stage == "gate"
	facts.gate == "data-validation"
}

# METADATA
# title: Permitted
# description: Undefined unless the profile does not ask, or permits what the gate established.
# scope: document
sound if facts.off("dataset", "pii")

sound if facts.permitted("dataset", "pii", input.report.facts.dataset.pii)

# METADATA
# title: The dataset is too personal
# description: Or it is not known.
# custom:
#   id: dataset.pii
#   severity: high
#   remediation: State `pii` in the dataset's card; pseudonymise personal data, or ask for a profile that permits it
#   controls:
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML04:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.033}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"class of personal data %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "dataset", "pii"]),
			facts.shown_profile,
			facts.shown_permitted("dataset", "pii"),
		],
	)
}
