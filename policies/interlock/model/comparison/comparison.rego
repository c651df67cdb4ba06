# METADATA
# title: The model is not worse than the one that was accepted last
# description: |-
#   Over all rows of the sealed set, for each class and for each slice. How much worse is too much stands in the
#   profile. A drop beyond its bound that may be chance, and a group of few rows, are unsure: the profile says whether
#   they deny.
# schemas:
#   - input: schema.decision_input
package interlock.model.comparison

import data.interlock.facts
import data.interlock.model.evaluation

# METADATA
# title: Which reports this rule judges
# description: Evaluations of a model.
applies if evaluation.applies

# METADATA
# title: The kinds of groups
# description: Each by the parameter that bounds its drop.
bounds := {
	"overall": "max_drop",
	"class": "max_class_drop",
	"slice": "max_slice_drop",
}

# METADATA
# title: No model was accepted before, and that is permitted
# description: Undefined unless the evaluation and the profile both say so.
first if {
	is_null(evaluation.said.accepted)
	facts.profile.evaluation.first == "allow"
}

# METADATA
# title: There is nothing to compare
# description: |-
#   No model was accepted before, or it could not be asked: another rule judges that. Undefined for everything else.
# scope: document
uncompared if is_null(evaluation.said.accepted)

uncompared if evaluation.said.accepted.compared == false

# METADATA
# title: The model was compared with the accepted one
# description: Undefined unless it was, and the accepted one still does what it did when it was accepted.
compared if {
	is_object(evaluation.said.accepted)
	evaluation.said.accepted.compared == true
	steady
}

# METADATA
# title: The accepted model still does what it did
# description: |-
#   Undefined where it is worse on the same rows than its own receipt says: the code that predicts could answer badly
#   for it, so that the new model looks good. On a set that is new to it nobody can tell.
# scope: document
steady if facts.off("evaluation", "max_lost")

steady if {
	facts.limit("evaluation", "max_lost") >= 0
	lost := object.get(evaluation.said.accepted, "lost", "nothing")
	is_null(lost)
}

steady if {
	is_number(evaluation.said.accepted.lost)
	evaluation.said.accepted.lost <= facts.limit("evaluation", "max_lost")
}

# METADATA
# title: The groups that are judged
# description: |-
#   All of them; undefined unless there is one over all rows, each is of a known kind, and each slice that was named has
#   one.
groups := listed if {
	listed := evaluation.said.groups
	is_array(listed)
	is_array(evaluation.said.slices)
	every group in listed {
		bounds[group.kind]
		is_string(group.name)
	}
	some group in listed
	group.kind == "overall"
	every column in evaluation.said.slices {
		has_slice(listed, column)
	}
}

# METADATA
# title: A column has a group
# description: Undefined otherwise.
has_slice(listed, column) if {
	some group in listed
	group.kind == "slice"
	startswith(group.name, sprintf("%s=", [column]))
}

# METADATA
# title: The numbers of a group can be read
# description: Undefined unless each is a number that can be.
readable(group) if {
	is_number(group.drop)
	is_number(group.p)
	group.p > 0
	group.p <= 1
	is_number(group.rows)
	group.rows > 0
}

# METADATA
# title: A group is not worse
# description: |-
#   Undefined unless the profile does not bound its kind, or its drop is within the bound and it has enough rows.
# scope: document
sound(group) if facts.off("evaluation", bounds[group.kind])

sound(group) if {
	readable(group)
	is_number(group.drop)
	group.drop <= facts.limit("evaluation", bounds[group.kind])
	is_number(group.rows)
	group.rows >= facts.limit("evaluation", "min_rows")
}

# METADATA
# title: Nobody can tell whether a group is worse
# description: |-
#   Undefined unless its drop is beyond the bound and may be chance, or within it on too few rows.
# scope: document
unsure(group) if {
	readable(group)
	is_number(group.drop)
	group.drop > facts.limit("evaluation", bounds[group.kind])
	is_number(group.p)
	group.p > facts.limit("evaluation", "max_p")
}

unsure(group) if {
	readable(group)
	is_number(group.drop)
	group.drop <= facts.limit("evaluation", bounds[group.kind])
	is_number(group.rows)
	group.rows < facts.limit("evaluation", "min_rows")
}

# METADATA
# title: The groups of a kind that are worse
# description: Those that are neither sound nor unsure.
worse(kind) := [group |
	some group in groups
	group.kind == kind
	not sound(group)
	not unsure(group)
]

# METADATA
# title: The groups of which nobody can tell
# description: Of all kinds.
doubtful := [group |
	some group in groups
	not sound(group)
	unsure(group)
]

# METADATA
# title: The profile bears groups of which nobody can tell
# description: Undefined unless it says so.
doubt_allowed if facts.profile.evaluation.unsure == "allow"

# METADATA
# title: The model was not compared with the accepted one
# description: |-
#   There is none and the profile asks for one, it could not be asked, or it does worse now than when it was accepted.
# custom:
#   id: model.evaluation-not-compared
#   severity: high
#   remediation: |-
#     Say where the model that was accepted last lies now (option `accepted`), and predict with code that can read it;
#     for the first model of all set `evaluation.first` in a profile of your own
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not first
	not compared
	message := sprintf("compared with the accepted model: %v", [evaluation.shown("accepted")])
}

# METADATA
# title: The comparison cannot be read
# description: A group is of no known kind, there is none over all rows, or a slice has none.
# custom:
#   id: model.evaluation-unreadable
#   severity: high
#   remediation: Run the evaluation again with this version of Interlock
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), "report.facts.evaluation.groups cannot be read") if {
	applies
	not groups
}

# METADATA
# title: The model is worse than the accepted one
# description: Over all rows, by more than the profile bears and more than chance.
# custom:
#   id: model.evaluation-worse
#   severity: high
#   remediation: Look at the groups in the report that are worse; train again, or keep the accepted model
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), described(worse("overall"), "overall")) if {
	applies
	not uncompared
	count(worse("overall")) > 0
}

# METADATA
# title: The model is worse on a class than the accepted one
# description: By more than the profile bears and more than chance.
# custom:
#   id: model.evaluation-worse-class
#   severity: high
#   remediation: Look at the rows of this class and at what changed in their training data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), described(worse("class"), "class")) if {
	applies
	not uncompared
	count(worse("class")) > 0
}

# METADATA
# title: The model is worse on a slice than the accepted one
# description: By more than the profile bears and more than chance.
# custom:
#   id: model.evaluation-worse-slice
#   severity: high
#   remediation: Look at the rows of this slice and at what changed in their training data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), described(worse("slice"), "slice")) if {
	applies
	not uncompared
	count(worse("slice")) > 0
}

# METADATA
# title: Nobody can tell whether the model is worse
# description: A drop that may be chance, or too few rows; the profile asks that it can be told.
# custom:
#   id: model.evaluation-unsure
#   severity: medium
#   remediation: Seal a set with more rows of these groups
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), described(doubtful, "unsure")) if {
	applies
	not uncompared
	not doubt_allowed
	count(doubtful) > 0
}

# METADATA
# title: Nobody can tell whether the model is worse
# description: The profile bears it.
# custom:
#   id: model.evaluation-unsure
#   severity: low
#   remediation: Seal a set with more rows of these groups
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.3}
warn contains facts.reason(rego.metadata.rule(), described(doubtful, "unsure")) if {
	applies
	not uncompared
	doubt_allowed
	count(doubtful) > 0
}

# METADATA
# title: Groups as text
# description: Always defined; at most five, the first ones.
described(listed, kind) := sprintf("%d of kind %s: %s", [count(listed), kind, concat("; ", texts)]) if {
	texts := [sprintf("%v %v: drop %v, p %v, %v rows", [
		object.get(group, "kind", "?"),
		object.get(group, "name", "?"),
		facts.shown(object.get(group, "drop", "?")),
		facts.shown(object.get(group, "p", "?")),
		object.get(group, "rows", "?"),
	]) |
		some group in array.slice(listed, 0, 5)
	]
}
