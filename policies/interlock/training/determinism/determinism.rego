# METADATA
# title: The training can be repeated
# description: Only who gets the same weights again can show that nothing else went in.
# schemas:
#   - input: schema.decision_input
package interlock.training.determinism

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Reports of a finished training.
applies if {
	facts.stage == "gate"
	facts.gate == "training"
}

# METADATA
# title: Repeatable, or not asked for
# description: Undefined unless the profile does not ask, or the gate established it.
# scope: document
sound if facts.profile.training.require_determinism == false

sound if {
	facts.profile.training.require_determinism == true
	input.report.facts.training.deterministic == true
}

# METADATA
# title: The training cannot be repeated
# description: The profile asks for deterministic training, and the gate did not establish it.
# custom:
#   id: training.determinism
#   severity: medium
#   remediation: Set the seeds and deterministic kernels of the framework, then train again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"deterministic: %v; profile %v asks for a deterministic training",
		[facts.shown_field(["report", "facts", "training", "deterministic"]), facts.shown_profile],
	)
}
