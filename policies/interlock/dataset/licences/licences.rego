# METADATA
# title: The dataset may be used
# description: A model trained on data that may not be used has to be trained again.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.licences

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Validation, which reads the dataset's card.
applies if {
	facts.stage == "gate"
	facts.gate == "data-validation"
}

# METADATA
# title: Every one is permitted
# description: |-
#   Undefined unless the profile does not ask, or the gate established at least one and the profile permits them
#   all.
# scope: document
sound if facts.off("dataset", "licences")

sound if {
	is_array(input.report.facts.dataset.licences)
	count(input.report.facts.dataset.licences) > 0
	every one in input.report.facts.dataset.licences {
		facts.permitted("dataset", "licences", one)
	}
}

# METADATA
# title: A licence of the dataset is not permitted
# description: Or none is stated.
# custom:
#   id: dataset.licence
#   severity: medium
#   remediation: State SPDX ids in the dataset's card, or add them to `dataset.licences` in the profile
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: NIST AI RMF, version: "1.0", id: GOVERN 6.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"licences %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "dataset", "licences"]),
			facts.shown_profile,
			facts.shown_permitted("dataset", "licences"),
		],
	)
}
