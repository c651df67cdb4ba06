# METADATA
# title: The model was evaluated on the sealed set
# description: |-
#   Which set is sealed for which pipeline stands in `data.interlock.evaluations`, so that no pipeline chooses an easier
#   one. Nothing that was trained on these rows, or saw their labels, tells how good a model is.
# schemas:
#   - input: schema.decision_input
package interlock.model.evaluation

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Evaluations of a model.
applies if {
	facts.stage == "gate"
	facts.gate == "model-probe"
}

# METADATA
# title: What the evaluation says of itself
# description: Undefined unless it is there.
said := input.report.facts.evaluation if is_object(input.report.facts.evaluation)

# METADATA
# title: Floors under what the new model comes to
# description: Each measure by its parameter.
floors := {
	"accuracy": "min_accuracy",
	"macro_f1": "min_macro_f",
	"worst_class_recall": "min_class_recall",
}

# METADATA
# title: What policy data has under the evaluation's name
# description: Undefined unless it is there and this pipeline may use it.
known := found if {
	is_string(said.name)
	found := data.interlock.evaluations[said.name]
	is_object(found)
	may_use(found)
}

# METADATA
# title: This pipeline may use an evaluation
# description: |-
#   Undefined unless it is for every pipeline, or names this one. A pipeline names the evaluation itself; this keeps it
#   from being judged by another's.
# scope: document
may_use(found) if found.pipelines == "any"

may_use(found) if {
	is_array(found.pipelines)
	input.run.pipeline in found.pipelines
}

# METADATA
# title: The set is the sealed one
# description: |-
#   Undefined unless the profile does not ask, or digest, label and task are those of policy data, and every slice that
#   it names was judged.
# scope: document
sealed if facts.profile.evaluation.sealed == false

sealed if {
	facts.profile.evaluation.sealed == true
	is_string(known.digest)
	said.digest.sha256 == known.digest
	is_string(known.label)
	said.label == known.label
	is_string(known.task)
	said.task == known.task
	is_array(known.slices)
	every wanted in known.slices {
		is_string(wanted)
		wanted in said.slices
	}
}

# METADATA
# title: The set is not too old
# description: Undefined unless the profile does not ask, or the day until which policy data trusts it is not over.
# scope: document
fresh if facts.profile.evaluation.sealed == false

fresh if {
	facts.profile.evaluation.sealed == true
	known.until == "any"
}

fresh if {
	facts.profile.evaluation.sealed == true
	is_string(known.until)
	is_string(input.now)
	time.parse_rfc3339_ns(input.now) < time.parse_rfc3339_ns(known.until)
}

# METADATA
# title: The set is neither too old nor used too often
# description: Undefined unless both are known. Who sees many results of one set chooses models by it.
current if {
	fresh
	facts.bounded_above("uses", "evaluation", "max_uses")
}

# METADATA
# title: The labels were kept from the code that predicts
# description: Undefined unless it ran at a level of isolation that the profile permits for training.
kept if {
	is_string(said.isolation)
	said.isolation in facts.names("training", "isolation")
}

# METADATA
# title: The training did not see the set
# description: |-
#   Undefined where a receipt says that it did, and where the profile bounds the overlap and no receipt says what the
#   training saw.
# scope: document
unseen if {
	facts.off("evaluation", "max_overlap")
	said.seen_in_training in {false, null}
}

unseen if {
	facts.bounded_above("overlap_fraction", "evaluation", "max_overlap")
	said.seen_in_training == false
}

# METADATA
# title: Another set than the sealed one
# description: Or other columns of it, or an evaluation that is not for this pipeline.
# custom:
#   id: model.evaluation-set
#   severity: critical
#   remediation: Evaluate on the set that `data.interlock.evaluations` names for this pipeline, with its columns
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sealed
	message := sprintf(
		"evaluation %v on sha256 %v with label %v is not what is sealed for pipeline %v",
		[shown("name"), facts.shown_field(["report", "facts", "evaluation", "digest", "sha256"]), shown("label"), pipeline],
	)
}

# METADATA
# title: The evaluation set is used up
# description: Its day is over, or it was used so often that models are chosen by it.
# custom:
#   id: model.evaluation-stale
#   severity: high
#   remediation: Seal a fresh set under the same name in `data.interlock.evaluations`
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not current
	message := sprintf(
		"policy data trusts the set until %v; it was used %v times, and profile %v bears %v",
		[
			trusted_until,
			facts.shown_measure("uses"),
			facts.shown_profile,
			facts.shown_parameter("evaluation", "max_uses"),
		],
	)
}

# METADATA
# title: The labels were not kept from the code that predicts
# description: It ran at a level of isolation that the profile does not permit.
# custom:
#   id: model.evaluation-isolation
#   severity: high
#   remediation: Run the gate where the better sandbox works; `interlock doctor` says what is missing
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not kept
	message := sprintf(
		"the code predicted at level %v; profile %v permits %v",
		[shown("isolation"), facts.shown_profile, facts.shown_names("training", "isolation")],
	)
}

# METADATA
# title: The training saw the evaluation set
# description: The set itself, too many of its rows, or nobody knows.
# custom:
#   id: model.evaluation-seen
#   severity: critical
#   remediation: Train without the sealed rows; if they leaked into the data, seal a fresh set
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not unseen
	message := sprintf(
		"trained on the set itself: %v; %v of its rows stand in the training's data, and profile %v bears %v",
		[
			shown("seen_in_training"),
			facts.shown_measure("overlap_fraction"),
			facts.shown_profile,
			facts.shown_parameter("evaluation", "max_overlap"),
		],
	)
}

# METADATA
# title: The model is not good enough
# description: A metric lies below the floor of the profile, whatever the accepted model comes to.
# custom:
#   id: model.evaluation-floor
#   severity: high
#   remediation: Train a better model; many small drops, each within its bound, end here
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some measured, parameter in floors
	not facts.bounded_below(measured, "evaluation", parameter)
	message := sprintf(
		"%v is %v; profile %v asks for %v",
		[
			measured,
			facts.shown_measure(measured),
			facts.shown_profile,
			facts.shown_parameter("evaluation", parameter),
		],
	)
}

# METADATA
# title: A field of the evaluation as text
# description: Always defined.
shown(name) := facts.shown_field(["report", "facts", "evaluation", name])

# METADATA
# title: Until when policy data trusts the set, as text
# description: Always defined.
# scope: document
default trusted_until := "nothing readable"

trusted_until := facts.shown(known.until)

# METADATA
# title: The pipeline as text
# description: Always defined.
pipeline := facts.shown_field(["run", "pipeline"])
