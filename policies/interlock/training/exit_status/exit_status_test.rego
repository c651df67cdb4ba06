# METADATA
# title: Tests of training.exit_status
package interlock.training.exit_status_test

import data.interlock.examples_test as examples
import data.interlock.training.exit_status

test_the_example_passes if {
	every name in ["finished_training"] {
		exit_status.deny == set() with input as examples.allowed[name]
	}
}

test_a_failed_training_is_denied if {
	changed := examples.changed(examples.finished_training, "report/measures/exit_status/value", 1)
	{[reason.id, reason.message] | some reason in exit_status.deny} == {[
		"training.exit-status",
		"the training ended with exit status 1",
	]} with input as changed
}

test_a_killed_training_is_denied if {
	changed := examples.changed(examples.finished_training, "report/measures/exit_status/value", -9)
	{[reason.id, reason.message] | some reason in exit_status.deny} == {[
		"training.exit-status",
		"the training ended with exit status -9",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["finished_training"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/exit_status",
			"report/measures/exit_status/value",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(exit_status.deny) > 0 with input as document
			}
		}
	}
}
