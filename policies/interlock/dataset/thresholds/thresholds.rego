# METADATA
# title: No detector saw more than the profile bears of it
# description: |-
#   The sums over all detectors are judged by `dataset.poisoning`; here each detector has limits of its own.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.thresholds

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Poisoning scans.
applies if {
	facts.stage == "gate"
	facts.gate == "data-poisoning"
}

# METADATA
# title: The limits by detector
# description: Undefined unless the profile has an object there, with limits for detectors that it does not name.
limits := facts.profile.poisoning.detectors if {
	is_object(facts.profile.poisoning.detectors)
	is_object(facts.profile.poisoning.detectors.others)
}

# METADATA
# title: The detectors to judge
# description: Those that the profile names, and all that measured something.
# scope: document
detectors contains name if {
	some name, _ in limits
	name != "others"
}

detectors contains trim_suffix(measured, suffix) if {
	is_object(input.report.measures)
	some suffix in ["_strength", "_flagged_rows"]
	some measured, _ in input.report.measures
	endswith(measured, suffix)
}

# METADATA
# title: One detector saw little
# description: Undefined unless both its measures are there and within its limits.
quiet(name, bounds) if {
	facts.measure("rows") > 0
	flagged := facts.measure(sprintf("%s_flagged_rows", [name]))
	flagged >= 0
	is_number(bounds.max_flagged_fraction)
	flagged / facts.measure("rows") <= bounds.max_flagged_fraction
	strength := facts.measure(sprintf("%s_strength", [name]))
	strength >= 0
	is_number(bounds.max_strength)
	strength <= bounds.max_strength
}

# METADATA
# title: One detector did not look, and need not
# description: Undefined unless the profile says that it need not and the report has neither of its measures.
excused(name, bounds) if {
	bounds.required == false
	is_object(input.report.measures)
	measured := object.keys(input.report.measures)
	rows := sprintf("%s_flagged_rows", [name])
	not rows in measured
	strength := sprintf("%s_strength", [name])
	not strength in measured
}

# METADATA
# title: One detector is within its limits
# description: Undefined unless it saw little, or need not look and did not.
# scope: document
sound(name, bounds) if quiet(name, bounds)

sound(name, bounds) if excused(name, bounds)

# METADATA
# title: The profile has no limits for detectors
# description: Without limits there, nothing would be judged.
# custom:
#   id: dataset.detector-limits
#   severity: critical
#   remediation: Write `poisoning.detectors` with limits for `others` into the profile's data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0043.004}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.013}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.023}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.024}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not limits
	message := sprintf("profile %v has no object poisoning.detectors with an object others", [facts.shown_profile])
}

# METADATA
# title: One detector saw too much
# description: More flagged rows or stronger evidence than the profile bears of this detector, or it did not look.
# custom:
#   id: dataset.detector-threshold
#   severity: high
#   remediation: Look at this detector's rows and pictures in the report before anything trains on this data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0043.004}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.013}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.023}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.024}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some name in detectors
	bounds := object.get(limits, name, limits.others)
	not sound(name, bounds)
	message := sprintf(
		"detector %v flagged %v of %v rows with strength %v; profile %v bears %v",
		[
			name,
			facts.shown_measure(sprintf("%s_flagged_rows", [name])),
			facts.shown_measure("rows"),
			facts.shown_measure(sprintf("%s_strength", [name])),
			facts.shown_profile,
			facts.shown(bounds),
		],
	)
}
