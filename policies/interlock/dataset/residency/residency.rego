# METADATA
# title: The dataset is stored where the profile permits
# description: Some data may not leave a region, for example the European Union.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.residency

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Validation, which reads the dataset's card and asks its storage.
applies if {
	facts.stage == "gate"
	facts.gate == "data-validation"
}

# METADATA
# title: Permitted
# description: Undefined unless the profile does not ask, or permits what the gate established.
# scope: document
sound if facts.off("dataset", "regions")

sound if facts.permitted("dataset", "regions", input.report.facts.dataset.region)

# METADATA
# title: The dataset is stored elsewhere
# description: Or it is not known.
# custom:
#   id: dataset.residency
#   severity: high
#   remediation: Train on a copy in a permitted region; for this machine's own disks set `region` in the settings
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: GOVERN 6.1}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"stored in region %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "dataset", "region"]),
			facts.shown_profile,
			facts.shown_permitted("dataset", "regions"),
		],
	)
}
