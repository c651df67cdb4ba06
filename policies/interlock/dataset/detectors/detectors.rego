# METADATA
# title: Detectors looked
# description: A scan in which no detector ran has found nothing and means nothing.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.detectors

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Poisoning scans.
applies if {
	facts.stage == "gate"
	facts.gate == "data-poisoning"
}

# METADATA
# title: Enough detectors ran
# description: Undefined unless the gate counted them; never content with none.
sound if {
	facts.measure("detectors_run") > 0
	facts.at_least("detectors_run", "poisoning", "min_detectors")
}

# METADATA
# title: Too few detectors ran
# description: Fewer than the profile asks for.
# custom:
#   id: dataset.detectors
#   severity: high
#   remediation: Name the label column, and the image shape or the feature columns, so that a detector can look
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0043.004}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.013}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.023}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.024}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"%v detectors ran; profile %v asks for at least %v",
		[
			facts.shown_measure("detectors_run"),
			facts.shown_profile,
			facts.shown_limit("poisoning", "min_detectors"),
		],
	)
}

# METADATA
# title: Detectors did not apply
# description: They could not look at data of this form.
# custom:
#   id: dataset.detectors-skipped
#   severity: low
#   remediation: Name the label column, and the image shape or the feature columns, so that more detectors can look
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	facts.measure("detectors_skipped") > 0
	message := sprintf("%v detectors did not apply to this data", [facts.shown_measure("detectors_skipped")])
}
