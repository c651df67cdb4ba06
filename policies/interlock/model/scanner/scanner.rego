# METADATA
# title: The scanner looked with a permitted profile
# description: A wider allow-list of globals finds less; which one was used stands in the report's configuration.
# schemas:
#   - input: schema.decision_input
package interlock.model.scanner

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: A permitted allow-list
# description: Undefined unless the profile does not ask, or permits the scanner's.
# scope: document
sound if facts.off("model", "scan_profiles")

sound if facts.permitted("model", "scan_profiles", input.report.configuration.profile)

# METADATA
# title: The scanner used an allow-list that is not permitted
# description: Or it does not say which.
# custom:
#   id: model.scanner
#   severity: high
#   remediation: Scan with a profile of the scanner that `model.scan_profiles` names, or save the weights as safetensors
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.002}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0011.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0011}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"scanned with %v; profile %v permits %v",
		[
			facts.shown_field(["report", "configuration", "profile"]),
			facts.shown_profile,
			facts.shown_permitted("model", "scan_profiles"),
		],
	)
}
