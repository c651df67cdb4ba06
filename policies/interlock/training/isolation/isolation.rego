# METADATA
# title: The training ran isolated enough
# description: The level that the sandbox names must be one that the profile accepts, and be what was measured.
# schemas:
#   - input: schema.decision_input
package interlock.training.isolation

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Reports of a finished training.
applies if {
	facts.stage == "gate"
	facts.gate == "training"
}

# METADATA
# title: Accepted and measured
# description: Undefined unless the named level is in the profile and its rank is the measured one.
sound if {
	is_string(input.requested.isolation)
	input.requested.isolation in facts.names("training", "isolation")
	data.interlock.levels.isolation[input.requested.isolation] == facts.measure("isolation_rank")
}

# METADATA
# title: The training was not isolated enough
# description: Training code and data can attack the machine that runs them, and what else is on it.
# custom:
#   id: training.isolation
#   severity: high
#   remediation: Install bubblewrap on the workers (`interlock doctor` shows the level), then train again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM03:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM06:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"isolation %v (measured rank %v); profile %v accepts %v",
		[
			facts.shown(object.get(input, ["requested", "isolation"], "(none)")),
			facts.shown_measure("isolation_rank"),
			facts.shown_profile,
			facts.shown_names("training", "isolation"),
		],
	)
}
