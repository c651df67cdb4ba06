# METADATA
# title: The dataset comes from permitted places
# description: Somebody who can choose where data comes from can choose what a model learns.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.sources

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
sound if facts.off("dataset", "sources")

sound if {
	is_array(input.report.facts.dataset.sources)
	count(input.report.facts.dataset.sources) > 0
	every one in input.report.facts.dataset.sources {
		facts.permitted_place("dataset", "sources", one)
	}
}

# METADATA
# title: A source of the dataset is not permitted
# description: Or none is stated.
# custom:
#   id: dataset.source
#   severity: high
#   remediation: State the sources in the dataset's card, or add them to `dataset.sources` in the profile
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.002}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0019}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Annex IV 2(d)}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"sources %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "dataset", "sources"]),
			facts.shown_profile,
			facts.shown_permitted("dataset", "sources"),
		],
	)
}
