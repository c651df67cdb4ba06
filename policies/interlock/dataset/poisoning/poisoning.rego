# METADATA
# title: The dataset does not look poisoned
# description: How much suspicion is too much stands in the profile.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.poisoning

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Poisoning scans.
applies if {
	facts.stage == "gate"
	facts.gate == "data-poisoning"
}

# METADATA
# title: Few rows are flagged
# description: Undefined unless rows and fraction are there and agree in being no less than zero.
few_flagged if {
	facts.measure("flagged_rows") >= 0
	facts.measure("flagged_fraction") >= 0
	facts.at_most("flagged_rows", "poisoning", "max_flagged_rows")
	facts.at_most("flagged_fraction", "poisoning", "max_flagged_fraction")
}

# METADATA
# title: No detector is sure
# description: Undefined unless the strength of the strongest evidence is there.
weak_evidence if {
	facts.measure("strongest") >= 0
	facts.at_most("strongest", "poisoning", "max_strongest")
}

# METADATA
# title: Too many rows look poisoned
# description: More flagged rows than the profile bears.
# custom:
#   id: dataset.poisoning-flagged
#   severity: critical
#   remediation: Look at the flagged rows in the report; remove them, or find out where they came from
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
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not few_flagged
	message := sprintf(
		"%v of %v rows look poisoned (fraction %v); profile %v bears at most %v rows and a fraction of %v",
		[
			facts.shown_measure("flagged_rows"),
			facts.shown_measure("rows"),
			facts.shown_measure("flagged_fraction"),
			facts.shown_profile,
			facts.shown_limit("poisoning", "max_flagged_rows"),
			facts.shown_limit("poisoning", "max_flagged_fraction"),
		],
	)
}

# METADATA
# title: A detector is sure of poison
# description: The strongest evidence is stronger than the profile bears, however few the rows.
# custom:
#   id: dataset.poisoning-evidence
#   severity: high
#   remediation: Look at the strongest detector's pictures and rows in the report before anything trains on this data
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
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not weak_evidence
	message := sprintf(
		"the strongest detector's evidence is %v; profile %v bears at most %v",
		[facts.shown_measure("strongest"), facts.shown_profile, facts.shown_limit("poisoning", "max_strongest")],
	)
}
