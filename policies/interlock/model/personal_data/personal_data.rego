# METADATA
# title: The model's texts hold no personal data
# description: Cards, accounts, telephone numbers and lists of addresses that came along from the data.
# schemas:
#   - input: schema.decision_input
package interlock.model.personal_data

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: Personal data stands in the texts of the model
# description: More than the profile bears, or nobody looked for it.
# custom:
#   id: model.personal-data
#   severity: high
#   remediation: Take out what `--look-for personal-data` names, or ask for a profile that bears it
#   controls:
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.033}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_above("personal_data", "model", "max_personal_data")
	message := sprintf(
		"personal data found: %v; profile %v bears at most %v",
		[facts.shown_measure("personal_data"), facts.shown_profile, facts.shown_limit("model", "max_personal_data")],
	)
}
