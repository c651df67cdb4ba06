# METADATA
# title: Tests of training.privacy
package interlock.training.privacy_test

import data.interlock.examples_test as examples
import data.interlock.training.privacy

complete := examples.complete.finished_training

test_a_profile_that_does_not_ask_passes if privacy.deny == set() with input as examples.finished_training

bounded := examples.strictly("training/max_epsilon", 8)

test_a_small_epsilon_passes if privacy.deny == set() with input as complete with data.interlock.profiles as bounded

test_a_large_epsilon_is_denied if {
	changed := examples.changed(complete, "report/measures/epsilon/value", 8.5)
	{[reason.id, reason.message] | some reason in privacy.deny} == {[
		"training.epsilon",
		"epsilon 8.5; profile strict bears at most 8",
	]} with input as changed with data.interlock.profiles as bounded
}

test_a_negative_epsilon_is_denied if {
	changed := examples.changed(complete, "report/measures/epsilon/value", -1)
	count(privacy.deny) == 1 with input as changed with data.interlock.profiles as bounded
}

test_every_field_read_must_be_there_with_its_type if {
	every path in ["report", "report/measures", "report/measures/epsilon", "report/measures/epsilon/value"] {
		every document in examples.spoiled(complete, path) {
			count(privacy.deny) > 0 with input as document with data.interlock.profiles as bounded
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["strict/training", "strict/training/max_epsilon"] {
		# Some of what is put there is a number, but none of them is 9 or more.
		every profiles in examples.profiles_without(path) {
			count(privacy.deny) > 0 with input as examples.changed(complete, "report/measures/epsilon/value", 9)
				with data.interlock.profiles as profiles
		}
	}
}
