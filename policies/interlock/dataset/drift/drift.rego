# METADATA
# title: The dataset is like the last accepted one
# description: |-
#   A drift accuses no row: the world may have changed, the pipeline, or somebody's data. How much is too much stands in
#   the profile. Only a drift that the scan is sure of is judged, because small datasets differ much by chance.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.drift

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Poisoning scans.
applies if {
	facts.stage == "gate"
	facts.gate == "data-poisoning"
}

# METADATA
# title: What the scan measures beside an accepted snapshot
# description: Each by the parameter that bounds it.
bounds := {
	"feature_drift": "max_feature",
	"label_drift": "max_label",
	"distribution_drift": "max_distribution",
}

# METADATA
# title: Everything that a comparison measures
# description: All of them, or none where nothing was compared.
compared := {"drift", "feature_drift", "label_drift", "distribution_drift", "new_source_fraction"}

# METADATA
# title: There was no comparison
# description: Undefined unless the report has measures, and none of a comparison.
not_compared if {
	is_object(input.report.measures)
	measured := object.keys(input.report.measures)
	count(compared & measured) == 0
}

# METADATA
# title: No comparison, and none is asked for
# description: Undefined unless the profile says that it need not be.
excused if {
	not_compared
	facts.profile.drift.required == false
}

# METADATA
# title: The profile says whether a comparison must be there, and which evidence is none
# description: Undefined unless it says so with true or false, and with a number.
said if {
	is_boolean(facts.profile.drift.required)
	facts.limit("drift", "max_unsure") >= 0
}

# METADATA
# title: The datasets were compared
# description: Undefined unless the strength of the evidence is there.
looked if {
	said
	facts.measure("drift") >= 0
}

# METADATA
# title: One measure is within its bound
# description: |-
#   Undefined unless the profile does not ask, or both are there and the measure is no higher, or the scan is not sure
#   that anything changed.
# scope: document
sound(measured, parameter) if facts.bounded_above(measured, "drift", parameter)

sound(measured, parameter) if {
	facts.limit("drift", parameter) >= 0
	facts.measure(measured) >= 0
	facts.measure("drift") >= 0
	facts.at_most("drift", "drift", "max_unsure")
}

# METADATA
# title: The dataset was not compared with an accepted one
# description: The profile asks for it, or does not say what it asks, or the evidence was not measured.
# custom:
#   id: dataset.not-compared
#   severity: high
#   remediation: Give the scan the profile of the last accepted snapshot (option `--accepted`)
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML08:2023"}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not excused
	not looked
	message := sprintf(
		"evidence of drift is %v; profile %v says %v to drift.required",
		[facts.shown_measure("drift"), facts.shown_profile, facts.shown_parameter("drift", "required")],
	)
}

# METADATA
# title: The dataset differs too much from the accepted one
# description: Its columns, its labels, or its mean and covariance, by more than the profile bears.
# custom:
#   id: dataset.drift
#   severity: high
#   remediation: Find out what changed between the two snapshots; accept the new one by hand, or mend what feeds it
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML08:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not excused
	some measured, parameter in bounds
	not sound(measured, parameter)
	message := sprintf(
		"%v is %v, with evidence %v; profile %v bears %v",
		[
			measured,
			facts.shown_measure(measured),
			facts.shown_measure("drift"),
			facts.shown_profile,
			facts.shown_parameter("drift", parameter),
		],
	)
}

# METADATA
# title: Too many rows come from sources that the accepted dataset did not have
# description: A source is new until a snapshot with it was accepted.
# custom:
#   id: dataset.new-sources
#   severity: high
#   remediation: Look at the rows of the new sources in the report; accept a snapshot with few of them first
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.002}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0019}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not excused
	not facts.bounded_above("new_source_fraction", "drift", "max_new_sources")
	message := sprintf(
		"%v of the rows come from new sources; profile %v bears %v",
		[
			facts.shown_measure("new_source_fraction"),
			facts.shown_profile,
			facts.shown_parameter("drift", "max_new_sources"),
		],
	)
}

# METADATA
# title: The dataset differs from the accepted one
# description: By no more than the profile bears, or the step is denied for it too.
# custom:
#   id: dataset.drifted
#   severity: medium
#   remediation: Look at what drifted in the report, and whether the world changed or the pipeline did
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	facts.measure("drift") > facts.limit("drift", "max_unsure")
	message := sprintf(
		"columns by %v, labels by %v (stability index), mean and covariance by %v of the variance; evidence %v",
		[
			facts.shown_measure("feature_drift"),
			facts.shown_measure("label_drift"),
			facts.shown_measure("distribution_drift"),
			facts.shown_measure("drift"),
		],
	)
}
