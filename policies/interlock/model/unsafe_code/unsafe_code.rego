# METADATA
# title: Loading the model runs no code
# description: The scanner's allow-list holds every global that the file names.
# schemas:
#   - input: schema.decision_input
package interlock.model.unsafe_code

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: Loading the model could run code
# description: The file names globals that are not on the allow-list of its format.
# custom:
#   id: model.unsafe-code
#   severity: critical
#   remediation: Do not load this file; save the weights as safetensors from a trusted copy
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
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.zero("unsafe_globals")
	message := sprintf("%v globals are not on the allow-list", [facts.shown_measure("unsafe_globals")])
}
