# METADATA
# title: Tests of model.evaluation
package interlock.model.evaluation_test

import data.interlock.examples_test as examples
import data.interlock.model.evaluation

complete := examples.complete.evaluation

sealed := examples.evaluations

bounding := object.union(data.interlock.profiles, {"strict": {"evaluation": {
	"min_accuracy": 0.9,
	"min_macro_f": 0.9,
	"min_class_recall": 0.8,
}}})

ids(reasons) := {reason.id | some reason in reasons}

said(field) := sprintf("report/facts/evaluation/%s", [field])

test_the_complete_example_passes if {
	evaluation.deny == set() with input as complete with data.interlock.evaluations as sealed
	evaluation.deny == set() with input as complete
		with data.interlock.evaluations as sealed
		with data.interlock.profiles as bounding
}

test_a_profile_that_does_not_ask_passes if {
	dev := object.union(complete, {"profile": "dev"})
	evaluation.deny == set() with input as dev
}

test_each_other_set_is_denied if {
	every field, other in {
		"digest/sha256": "0000000000000000000000000000000000000000000000000000000000000000",
		"label": "easier",
		"task": "regression",
		"name": "other",
		"slices": ["site"],
	} {
		changed := examples.changed(complete, said(field), other)
		ids(evaluation.deny) & {"model.evaluation-set"} != set() with input as changed
			with data.interlock.evaluations as sealed
	}
}

test_another_set_is_told_by_its_digest if {
	changed := examples.changed(complete, said("label"), "easier")
	messages := {reason.message | some reason in evaluation.deny} with input as changed
		with data.interlock.evaluations as sealed
	messages == {sprintf(
		"evaluation digits on sha256 %v with label easier is not what is sealed for pipeline retrain",
		[examples.digest],
	)}
}

test_the_set_of_another_pipeline_is_denied if {
	others := examples.changed(sealed, "digits/pipelines", ["fraud"])
	ids(evaluation.deny) == {"model.evaluation-set", "model.evaluation-stale"} with input as complete
		with data.interlock.evaluations as others
}

test_a_set_for_every_pipeline_passes if {
	everybody := examples.changed(sealed, "digits/pipelines", "any")
	evaluation.deny == set() with input as complete with data.interlock.evaluations as everybody
}

test_a_slice_that_policy_names_and_nobody_judged_is_denied if {
	wanting := examples.changed(sealed, "digits/slices", ["scanner", "site"])
	ids(evaluation.deny) == {"model.evaluation-set"} with input as complete with data.interlock.evaluations as wanting
}

test_a_set_past_its_day_is_denied if {
	over := examples.changed(sealed, "digits/until", "2026-11-01T00:00:00Z")
	ids(evaluation.deny) == {"model.evaluation-stale"} with input as complete with data.interlock.evaluations as over
}

test_a_set_without_a_last_day_passes if {
	forever := examples.changed(sealed, "digits/until", "any")
	evaluation.deny == set() with input as complete with data.interlock.evaluations as forever
}

test_a_set_that_was_used_up_is_denied if {
	changed := examples.changed(complete, "report/measures/uses/value", 101)
	messages := {reason.message | some reason in evaluation.deny} with input as changed
		with data.interlock.evaluations as sealed
	messages == {concat("", [
		"policy data trusts the set until 2027-06-01T00:00:00Z; ",
		"it was used 101 times, and profile strict bears 100",
	])}
}

test_a_weak_sandbox_is_denied if {
	changed := examples.changed(complete, said("isolation"), "rlimits")
	ids(evaluation.deny) == {"model.evaluation-isolation"} with input as changed with data.interlock.evaluations as sealed
}

test_a_training_on_the_set_is_denied_everywhere if {
	every profile in ["dev", "standard", "strict"] {
		changed := object.union(
			examples.changed(complete, said("seen_in_training"), true),
			{"profile": profile},
		)
		"model.evaluation-seen" in ids(evaluation.deny) with input as changed with data.interlock.evaluations as sealed
	}
}

test_a_training_that_nobody_knows_is_denied_where_overlap_is_bounded if {
	changed := examples.changed(complete, said("seen_in_training"), null)
	ids(evaluation.deny) == {"model.evaluation-seen"} with input as changed with data.interlock.evaluations as sealed
	open := object.union(changed, {"profile": "standard"})
	evaluation.deny == set() with input as open with data.interlock.evaluations as sealed
}

test_too_many_rows_of_the_training_are_denied if {
	changed := examples.changed(complete, "report/measures/overlap_fraction/value", 0.02)
	ids(evaluation.deny) == {"model.evaluation-seen"} with input as changed with data.interlock.evaluations as sealed
}

test_a_model_under_a_floor_is_denied if {
	changed := examples.changed(complete, "report/measures/worst_class_recall/value", 0.5)
	messages := {[reason.id, reason.message] | some reason in evaluation.deny} with input as changed
		with data.interlock.evaluations as sealed
		with data.interlock.profiles as bounding
	messages == {["model.evaluation-floor", "worst_class_recall is 0.5; profile strict asks for 0.8"]}
}

test_every_field_read_must_be_there_with_its_type if {
	every field in ["name", "digest", "digest/sha256", "label", "slices", "task", "isolation"] {
		every document in examples.spoiled(complete, said(field)) {
			count(evaluation.deny) > 0 with input as document with data.interlock.evaluations as sealed
		}
	}
	every path in ["report/facts", "report/facts/evaluation", "report/measures"] {
		every document in examples.spoiled(complete, path) {
			count(evaluation.deny) > 0 with input as document
				with data.interlock.evaluations as sealed
				with data.interlock.profiles as bounding
		}
	}
}

test_what_was_seen_in_training_must_be_said if {
	every wrong in ["text", 7, [], {}] {
		changed := examples.changed(complete, said("seen_in_training"), wrong)
		count(evaluation.deny) > 0 with input as changed with data.interlock.evaluations as sealed
	}
	cut := json.remove(complete, [said("seen_in_training")])
	count(evaluation.deny) > 0 with input as cut with data.interlock.evaluations as sealed
}

test_every_measure_read_must_be_there_with_its_type if {
	every name in ["uses", "overlap_fraction", "accuracy", "macro_f1", "worst_class_recall"] {
		every ending in ["", "/value"] {
			every document in examples.spoiled(complete, sprintf("report/measures/%s%s", [name, ending])) {
				count(evaluation.deny) > 0 with input as document
					with data.interlock.evaluations as sealed
					with data.interlock.profiles as bounding
			}
		}
	}
}

test_every_entry_of_policy_data_must_be_there_with_its_type if {
	every field in ["", "/digest", "/label", "/task", "/slices", "/pipelines", "/until"] {
		every data_of_policy in examples.spoiled(sealed, sprintf("digits%s", [field])) {
			count(evaluation.deny) > 0 with input as complete with data.interlock.evaluations as data_of_policy
		}
	}
	count(evaluation.deny) > 0 with input as complete with data.interlock.evaluations as {}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["", "/sealed", "/max_overlap", "/max_uses", "/min_accuracy", "/min_macro_f", "/min_class_recall"] {
		every profiles in examples.spoiled(bounding, sprintf("strict/evaluation%s", [name])) {
			count(evaluation.deny) > 0 with input as complete
				with data.interlock.evaluations as sealed
				with data.interlock.profiles as profiles
		}
	}
}
