# METADATA
# title: Tests of training.pickles
package interlock.training.pickles_test

import data.interlock.examples_test as examples
import data.interlock.training.pickles

complete := examples.complete.finished_training

guard := examples.complete.training_guard

said(example, value) := object.union(example, {"requested": {"keep_pickles": value}})

test_the_complete_example_passes if pickles.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if pickles.deny == set() with input as examples.finished_training

test_a_training_that_leaves_a_pickle_is_denied if {
	changed := examples.changed(complete, "report/facts/training/no_pickles", false)
	{[reason.id, reason.message] | some reason in pickles.deny} == {
		[
			"training.pickles",
			"free of pickles: false; profile strict lets no pickle leave a training",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/training",
		"report/facts/training/no_pickles",
	] {
		every document in examples.spoiled(complete, path) {
			count(pickles.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/training",
		"strict/training/require_converted_pickles",
	] {
		every profiles in examples.profiles_without(path) {
			count(pickles.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_a_step_that_keeps_no_pickles_may_start if pickles.deny == set() with input as guard

test_a_step_that_says_so_may_start if {
	pickles.deny == set() with input as said(guard, false)
}

test_a_step_that_keeps_pickles_may_not_start if {
	{[reason.id, reason.message] | some reason in pickles.deny} == {
		[
			"training.pickles-kept",
			"keep_pickles is true; profile strict lets no pickle leave a training",
		],
	} with input as said(guard, true)
}

test_a_profile_that_does_not_ask_lets_it_start if {
	pickles.deny == set() with input as said(examples.training_guard, true)
}

test_what_a_step_says_must_have_its_type if {
	every value in [null, "no", 0, {}, []] {
		count(pickles.deny) > 0 with input as said(guard, value)
	}
}
