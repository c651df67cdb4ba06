# METADATA
# title: Every file of the model has an allowed format
# description: The scanner says of each file what it is by its content; the profile says which formats it accepts.
# schemas:
#   - input: schema.decision_input
package interlock.model.formats

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: What the scanner says of each file
# description: One entry for a finding; `null` where its evidence names no format.
said := [format_of(finding) |
	some finding in input.report.findings
	finding.rule_id == "artifact-scan.format"
]

# METADATA
# title: The format that a finding names
# description: Always defined; `null` when its evidence is no JSON object with a text `format`.
format_of(finding) := format if {
	is_string(finding.evidence)
	json.is_valid(finding.evidence)
	format := json.unmarshal(finding.evidence).format
	is_string(format)
} else := null

# METADATA
# title: All formats are known and allowed
# description: Undefined unless there is a file, each file has its format, and the profile allows it.
sound if {
	is_array(input.report.findings)
	facts.measure("files") > 0
	count(said) >= facts.measure("files")
	allowed := facts.names("artifacts", "formats")
	every format in said {
		format in allowed
	}
}

# METADATA
# title: A file of the model has a format that is not allowed
# description: Or the scanner does not say of each file what it is.
# custom:
#   id: model.formats
#   severity: high
#   remediation: Save the model as safetensors; it holds weights and nothing else
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
		"%v files of formats [%v]; profile %v allows %v",
		[
			facts.shown_measure("files"),
			concat(", ", sort({sprintf("%v", [format]) | some format in said})),
			facts.shown_profile,
			facts.shown_names("artifacts", "formats"),
		],
	)
}
