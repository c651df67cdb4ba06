# METADATA
# title: The training ended well
# description: A training that was killed or failed leaves weights that nobody meant.
# schemas:
#   - input: schema.decision_input
package interlock.training.exit_status

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Reports of a finished training.
applies if {
	facts.stage == "gate"
	facts.gate == "training"
}

# METADATA
# title: The training failed
# description: Its exit status is not zero, or not known.
# custom:
#   id: training.exit-status
#   severity: high
#   remediation: Read the end of the training's log in the report
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.zero("exit_status")
	message := sprintf("the training ended with exit status %v", [facts.shown_measure("exit_status")])
}
