# METADATA
# title: The weights are numbers that a model can have
# description: |-
#   The gate counts what no training leaves behind, and compares with the last accepted version where it is given one.
#   How much is too much stands in the profile. A bound asks for its measure: where nobody looked at the weights, or
#   nothing was compared, it denies.
# schemas:
#   - input: schema.decision_input
package interlock.model.weights

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: What the look at the weights counts
# description: Each by the parameter that bounds it.
bounds := {
	"nan_tensors": "max_nan_tensors",
	"infinite_tensors": "max_infinite_tensors",
	"absurd_tensors": "max_absurd_tensors",
	"unread_tensors": "max_unread_tensors",
	"unread_files": "max_unread_files",
	"hidden_bytes": "max_hidden_bytes",
}

# METADATA
# title: What a comparison with the accepted version counts
# description: Each by the parameter that bounds it.
changes := {
	"changed_tensors": "max_changed_tensors",
	"added_tensors": "max_added_tensors",
	"removed_tensors": "max_removed_tensors",
	"largest_change": "max_change",
}

# METADATA
# title: The weights are not what a training leaves
# description: Numbers that are none or absurd, bytes that no tensor owns, or weights that nobody looked at.
# custom:
#   id: model.weights
#   severity: high
#   remediation: Look at the tensors that the report names and train or convert again; scan with the extra `artifacts`
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML10:2023"}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some measured, parameter in bounds
	not facts.bounded_above(measured, "weights", parameter)
	message := said(measured, parameter)
}

# METADATA
# title: The weights differ too much from the accepted version
# description: Or they were not compared with it, and the profile asks for that.
# custom:
#   id: model.weights-changed
#   severity: high
#   remediation: Find out who changed the layers named; give the scan the last accepted version (`--accepted`)
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML10:2023"}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some measured, parameter in changes
	not facts.bounded_above(measured, "weights", parameter)
	message := said(measured, parameter)
}

# METADATA
# title: One measure beside its bound
# description: Always defined.
said(measured, parameter) := sprintf(
	"%v is %v; profile %v bears %v",
	[measured, facts.shown_measure(measured), facts.shown_profile, facts.shown_parameter("weights", parameter)],
)
