# METADATA
# title: The training gave away little
# description: |-
#   Epsilon bounds what a model can tell of one row (Dwork et al. 2006; Abadi et al. 2016), and what all models together
#   that were trained on the row can tell.
# schemas:
#   - input: schema.decision_input
package interlock.training.privacy

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Reports of a finished training.
applies if {
	facts.stage == "gate"
	facts.gate == "training"
}

# METADATA
# title: Which guards this rule judges
# description: Guards of a training, before anything of the dataset is spent.
starts if {
	facts.stage == "guard"
	facts.gate == "training"
}

# METADATA
# title: The dataset has no privacy left for the training
# description: |-
#   What trainings on it spent and what this one asks for are more than the profile bears, or not known: a training
#   without differential privacy spends without bound.
# custom:
#   id: training.privacy-spent
#   severity: high
#   remediation: Ask for a smaller epsilon, or train on other rows; what is spent does not come back
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0024.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0024.001}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML04:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.033}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.10}
deny contains facts.reason(rego.metadata.rule(), message) if {
	starts
	not facts.bounded_above("dataset_epsilon", "training", "max_dataset_epsilon")
	message := sprintf(
		"epsilon %v of the dataset, with epsilon %v asked for; profile %v bears at most %v",
		[
			facts.shown_measure("dataset_epsilon"),
			facts.shown_field(["requested", "epsilon"]),
			facts.shown_profile,
			facts.shown_limit("training", "max_dataset_epsilon"),
		],
	)
}

# METADATA
# title: All trainings on the dataset together gave away too much
# description: What this training really spent is added to what was spent before it, or neither is known.
# custom:
#   id: training.privacy-overspent
#   severity: high
#   remediation: Do not use this model; ask for an epsilon that the training keeps
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0024.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0024.001}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML04:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.033}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.10}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_above("dataset_epsilon", "training", "max_dataset_epsilon")
	message := sprintf(
		"epsilon %v of the dataset; profile %v bears at most %v",
		[
			facts.shown_measure("dataset_epsilon"),
			facts.shown_profile,
			facts.shown_limit("training", "max_dataset_epsilon"),
		],
	)
}

# METADATA
# title: The training gave away too much
# description: A larger epsilon than the profile bears, or none measured.
# custom:
#   id: training.epsilon
#   severity: high
#   remediation: Train with a larger noise multiplier, fewer epochs or larger batches, so that epsilon falls
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0024.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0024.001}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML04:2023"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML03:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.033}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.032}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_above("epsilon", "training", "max_epsilon")
	message := sprintf(
		"epsilon %v; profile %v bears at most %v",
		[facts.shown_measure("epsilon"), facts.shown_profile, facts.shown_limit("training", "max_epsilon")],
	)
}
