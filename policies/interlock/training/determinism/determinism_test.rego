# METADATA
# title: Tests of training.determinism
package interlock.training.determinism_test

import data.interlock.examples_test as examples
import data.interlock.training.determinism

complete := examples.complete.finished_training

test_the_complete_example_passes if determinism.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if determinism.deny == set() with input as examples.finished_training

test_a_training_that_cannot_be_repeated_is_denied if {
	changed := examples.changed(complete, "report/facts/training/deterministic", false)
	{[reason.id, reason.message] | some reason in determinism.deny} == {
		[
			"training.determinism",
			"deterministic: false; profile strict asks for a deterministic training",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/training",
		"report/facts/training/deterministic",
	] {
		every document in examples.spoiled(complete, path) {
			count(determinism.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/training",
		"strict/training/require_determinism",
	] {
		every profiles in examples.profiles_without(path) {
			count(determinism.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}
