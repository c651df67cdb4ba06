# METADATA
# title: The training left something
# description: An empty output folder is no model.
# schemas:
#   - input: schema.decision_input
package interlock.training.output

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Reports of a finished training.
applies if {
	facts.stage == "gate"
	facts.gate == "training"
}

# METADATA
# title: The training left nothing
# description: Fewer bytes than the profile asks for.
# custom:
#   id: training.output
#   severity: high
#   remediation: Let the training write its weights under the output folder that it is given
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.at_least("output_bytes", "training", "min_output_bytes")
	message := sprintf(
		"the training left %v bytes; profile %v asks for at least %v",
		[
			facts.shown_measure("output_bytes"),
			facts.shown_profile,
			facts.shown_limit("training", "min_output_bytes"),
		],
	)
}
