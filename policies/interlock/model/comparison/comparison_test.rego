# METADATA
# title: Tests of model.comparison
package interlock.model.comparison_test

import data.interlock.examples_test as examples
import data.interlock.model.comparison

complete := examples.complete.evaluation

ids(reasons) := {reason.id | some reason in reasons}

said(field) := sprintf("report/facts/evaluation/%s", [field])

test_the_complete_example_passes if {
	comparison.deny == set() with input as complete
	comparison.warn == set() with input as complete
}

test_a_profile_that_bounds_nothing_passes if {
	open := object.union(data.interlock.profiles, {"strict": {"evaluation": {
		"max_drop": "any",
		"max_class_drop": "any",
		"max_slice_drop": "any",
		"max_lost": "any",
	}}})
	worse := with_group(2, {"drop": 0.9, "p": 0.001})
	comparison.deny == set() with input as worse with data.interlock.profiles as open
}

with_group(place, changes) := object.union(complete, {"report": {"facts": {"evaluation": {"groups": [changed |
	some at, group in complete.report.facts.evaluation.groups
	changed := object.union(group, {name: value | some name, value in changes; at == place})
]}}}})

first := json.patch(complete, [
	{"op": "replace", "path": said("accepted"), "value": null},
	{"op": "replace", "path": said("groups"), "value": [object.remove(group, ["drop", "low", "high", "p", "accepted"]) |
		some group in complete.report.facts.evaluation.groups
	]},
])

test_the_first_model_is_what_the_profile_says if {
	ids(comparison.deny) == {"model.evaluation-not-compared"} with input as first
	comparison.deny == set() with input as object.union(first, {"profile": "standard"})
}

test_a_model_that_was_not_compared_is_denied if {
	changed := examples.changed(complete, said("accepted/compared"), false)
	ids(comparison.deny) == {"model.evaluation-not-compared"} with input as changed
}

test_an_accepted_model_that_lost_is_denied if {
	changed := examples.changed(complete, said("accepted/lost"), 0.02)
	ids(comparison.deny) == {"model.evaluation-not-compared"} with input as changed
}

test_an_accepted_model_that_keeps_its_level_passes if {
	changed := examples.changed(complete, said("accepted/lost"), 0.001)
	comparison.deny == set() with input as changed
}

test_each_kind_of_group_that_is_worse_has_its_own_rule if {
	every place, id in {
		0: "model.evaluation-worse",
		1: "model.evaluation-worse",
		2: "model.evaluation-worse-class",
		4: "model.evaluation-worse-slice",
	} {
		changed := with_group(place, {"drop": 0.2, "p": 0.001})
		ids(comparison.deny) == {id} with input as changed
	}
}

test_the_worse_group_is_named if {
	changed := with_group(3, {"drop": 0.2, "p": 0.001})
	messages := {reason.message | some reason in comparison.deny} with input as changed
	messages == {"1 of kind class: class 8: drop 0.2, p 0.001, 180 rows"}
}

test_a_drop_that_may_be_chance_is_unsure if {
	changed := with_group(2, {"drop": 0.2, "p": 0.2})
	ids(comparison.deny) == {"model.evaluation-unsure"} with input as changed
	open := object.union(changed, {"profile": "standard"})
	comparison.deny == set() with input as open
	ids(comparison.warn) == {"model.evaluation-unsure"} with input as open
}

test_few_rows_are_unsure_and_worse_when_they_are_sure if {
	few := with_group(4, {"rows": 7})
	ids(comparison.deny) == {"model.evaluation-unsure"} with input as few
	worse := with_group(4, {"rows": 7, "drop": 1, "p": 0.008})
	ids(comparison.deny) == {"model.evaluation-worse-slice"} with input as worse
}

test_groups_that_say_nothing_are_denied if {
	every wrong in [
		[],
		[complete.report.facts.evaluation.groups[2]],
		array.slice(complete.report.facts.evaluation.groups, 0, 4),
		[object.union(group, {"kind": "other"}) | some group in complete.report.facts.evaluation.groups],
	] {
		changed := examples.changed(complete, said("groups"), wrong)
		"model.evaluation-unreadable" in ids(comparison.deny) with input as changed
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every field in [
		"slices", "accepted", "accepted/compared", "groups", "groups/0/kind", "groups/0/name",
		"groups/0/rows", "groups/0/drop", "groups/0/p", "groups/4/kind", "groups/4/name", "groups/4/drop",
	] {
		every document in examples.spoiled(complete, said(field)) {
			count(comparison.deny) > 0 with input as document
		}
	}
	every path in ["report/facts", "report/facts/evaluation"] {
		every document in examples.spoiled(complete, path) {
			count(comparison.deny) > 0 with input as document
		}
	}
}

test_what_the_accepted_model_lost_must_be_said if {
	every wrong in ["text", true, [], {}] {
		changed := examples.changed(complete, said("accepted/lost"), wrong)
		count(comparison.deny) > 0 with input as changed
	}
	cut := json.remove(complete, [said("accepted/lost")])
	count(comparison.deny) > 0 with input as cut
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["", "/max_drop", "/max_class_drop", "/max_slice_drop", "/min_rows", "/max_lost"] {
		every profiles in examples.profiles_without(sprintf("strict/evaluation%s", [name])) {
			count(comparison.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
	every name in ["max_p", "unsure"] {
		every profiles in examples.profiles_without(sprintf("strict/evaluation/%s", [name])) {
			count(comparison.deny) > 0 with input as with_group(2, {"drop": 0.2, "p": 0.2})
				with data.interlock.profiles as profiles
		}
	}
	every profiles in examples.profiles_without("strict/evaluation/first") {
		count(comparison.deny) > 0 with input as first with data.interlock.profiles as profiles
	}
}
