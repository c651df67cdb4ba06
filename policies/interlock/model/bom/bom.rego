# METADATA
# title: The model brings a bill of materials
# description: Without one nobody can tell which models hold a dataset or a library that turned out bad.
# schemas:
#   - input: schema.decision_input
package interlock.model.bom

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: A bill of a permitted form
# description: Undefined unless the profile does not ask, or permits the form that the gate read.
# scope: document
sound if facts.off("model", "boms")

sound if facts.permitted("model", "boms", form)

# METADATA
# title: Format and version
# description: Undefined unless both are texts.
form := sprintf("%s %s", [input.report.facts.model.bom.format, input.report.facts.model.bom.version]) if {
	is_string(input.report.facts.model.bom.format)
	is_string(input.report.facts.model.bom.version)
}

# METADATA
# title: The model brings no bill of materials
# description: Or one of a form that is not permitted.
# custom:
#   id: model.bom
#   severity: medium
#   remediation: Write a CycloneDX ML-BOM beside the model, then scan it again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0023}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: NIST AI RMF, version: "1.0", id: GOVERN 6.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"bill of materials %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "model", "bom"]),
			facts.shown_profile,
			facts.shown_permitted("model", "boms"),
		],
	)
}
