# METADATA
# title: The model descends from permitted models
# description: A backdoor in a base model survives fine-tuning.
# schemas:
#   - input: schema.decision_input
package interlock.model.base_models

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: Every base model is permitted
# description: |-
#   Undefined unless the profile does not ask, or the gate established the list and the profile permits each; a
#   model from scratch has an empty list.
# scope: document
sound if facts.off("model", "base_models")

sound if {
	is_array(input.report.facts.model.base_models)
	facts.asks("model", "base_models")
	every base in input.report.facts.model.base_models {
		facts.permitted("model", "base_models", base)
	}
}

# METADATA
# title: A base model is not permitted
# description: Or it is not known what the model descends from.
# custom:
#   id: model.base-models
#   severity: high
#   remediation: Start from a model that `model.base_models` names, and name it in the bill of materials
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.003}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0058}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0109}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML07:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: NIST AI RMF, version: "1.0", id: GOVERN 6.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"base models %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "model", "base_models"]),
			facts.shown_profile,
			facts.shown_permitted("model", "base_models"),
		],
	)
}
