# METADATA
# title: Tests of model.weights
package interlock.model.weights_test

import data.interlock.examples_test as examples
import data.interlock.model.weights

complete := examples.complete.artifact

bounding := object.union(data.interlock.profiles, {"strict": {"weights": {
	"max_unread_tensors": 0,
	"max_unread_files": 0,
	"max_hidden_bytes": 0,
	"max_changed_tensors": 4,
	"max_added_tensors": 0,
	"max_removed_tensors": 0,
	"max_change": 0.1,
}}})

measured := {
	"nan_tensors": 1,
	"infinite_tensors": 1,
	"absurd_tensors": 1,
	"unread_tensors": 1,
	"unread_files": 1,
	"hidden_bytes": 1,
	"changed_tensors": 5,
	"added_tensors": 1,
	"removed_tensors": 1,
	"largest_change": 0.2,
}

test_the_complete_example_passes if {
	weights.deny == set() with input as complete
	weights.deny == set() with input as complete with data.interlock.profiles as bounding
}

test_a_profile_that_does_not_ask_passes if weights.deny == set() with input as examples.artifact

test_a_number_that_is_none_is_denied if {
	changed := examples.changed(complete, "report/measures/nan_tensors/value", 2)
	{[reason.id, reason.message] | some reason in weights.deny} == {[
		"model.weights",
		"nan_tensors is 2; profile strict bears 0",
	]} with input as changed
}

test_too_large_a_change_is_denied if {
	changed := examples.changed(complete, "report/measures/largest_change/value", 0.5)
	{[reason.id, reason.message] | some reason in weights.deny} == {[
		"model.weights-changed",
		"largest_change is 0.5; profile strict bears 0.1",
	]} with input as changed with data.interlock.profiles as bounding
}

test_each_measure_is_bounded if {
	every name, value in measured {
		changed := examples.changed(complete, sprintf("report/measures/%s/value", [name]), value)
		count(weights.deny) == 1 with input as changed with data.interlock.profiles as bounding
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every name, _ in measured {
		every path in [sprintf("report/measures/%s", [name]), sprintf("report/measures/%s/value", [name])] {
			every document in examples.spoiled(complete, path) {
				count(weights.deny) > 0 with input as document with data.interlock.profiles as bounding
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/weights",
		"strict/weights/max_nan_tensors",
		"strict/weights/max_infinite_tensors",
		"strict/weights/max_absurd_tensors",
		"strict/weights/max_unread_tensors",
		"strict/weights/max_unread_files",
		"strict/weights/max_hidden_bytes",
		"strict/weights/max_changed_tensors",
		"strict/weights/max_added_tensors",
		"strict/weights/max_removed_tensors",
		"strict/weights/max_change",
	] {
		every profiles in examples.spoiled(bounding, path) {
			count(weights.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}
