# METADATA
# title: No pickle leaves the training
# description: Whoever reads a pickle runs what it says.
# schemas:
#   - input: schema.decision_input
package interlock.training.pickles

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Reports of a finished training.
applies if {
	facts.stage == "gate"
	facts.gate == "training"
}

# METADATA
# title: Free of pickles, or not asked for
# description: Undefined unless the profile does not ask, or the gate established it.
# scope: document
sound if facts.profile.training.require_converted_pickles == false

sound if {
	facts.profile.training.require_converted_pickles == true
	input.report.facts.training.no_pickles == true
}

# METADATA
# title: A pickle may have left the training
# description: The profile lets no pickle leave, and the gate did not establish that none does.
# custom:
#   id: training.pickles
#   severity: high
#   remediation: Train without --keep-pickles (keep_pickles=True); save estimators with skops, boosters with their save_model
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"free of pickles: %v; profile %v lets no pickle leave a training",
		[facts.shown_field(["report", "facts", "training", "no_pickles"]), facts.shown_profile],
	)
}
