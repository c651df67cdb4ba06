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
# title: Which steps this rule judges before they run
# description: Guards of a training, so that none runs for hours to be denied for what it said at once.
starts if {
	facts.stage == "guard"
	facts.gate == "training"
}

# METADATA
# title: The step keeps no pickles, or may
# description: Undefined unless the profile does not ask, or the step does not say that it keeps them.
# scope: document
unkept if facts.profile.training.require_converted_pickles == false

unkept if {
	facts.profile.training.require_converted_pickles == true
	object.get(input.requested, "keep_pickles", false) == false
}

# METADATA
# title: A pickle may have left the training
# description: The profile lets no pickle leave, and the gate did not establish that none does.
# custom:
#   id: training.pickles
#   severity: high
#   remediation: Train without --keep-pickles; save tensors as safetensors, estimators with skops
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

# METADATA
# title: The training would let pickles leave
# description: The profile lets no pickle leave, and the step says that it keeps them.
# custom:
#   id: training.pickles-kept
#   severity: high
#   remediation: Train without --keep-pickles; save tensors as safetensors, estimators with skops
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	starts
	not unkept
	message := sprintf(
		"keep_pickles is %v; profile %v lets no pickle leave a training",
		[facts.shown_field(["requested", "keep_pickles"]), facts.shown_profile],
	)
}
