# METADATA
# title: The model's texts hold no secrets
# description: Everybody who gets the model gets them, too.
# schemas:
#   - input: schema.decision_input
package interlock.model.secrets

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: Secrets stand in the texts of the model
# description: More than the profile bears, or nobody looked for them.
# custom:
#   id: model.secrets
#   severity: critical
#   remediation: Take out what `--look-for secrets` names, and change the credential, because it has been seen
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_above("secrets", "model", "max_secrets")
	message := sprintf(
		"secrets found: %v; profile %v bears at most %v",
		[facts.shown_measure("secrets"), facts.shown_profile, facts.shown_limit("model", "max_secrets")],
	)
}
