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

capped := examples.strictly("training/max_dataset_epsilon", 10)

guarded := examples.complete.training_guard

reasons contains [reason.id, reason.message] if some reason in privacy.deny

test_a_dataset_with_privacy_left_passes if {
	every document in [complete, guarded] {
		privacy.deny == set() with input as document with data.interlock.profiles as capped
	}
}

test_no_cap_asks_for_nothing if {
	privacy.deny == set() with input as json.remove(guarded, ["report/measures/dataset_epsilon"])
}

test_a_start_that_would_spend_more_than_is_left_is_denied if {
	changed := examples.changed(guarded, "report/measures/dataset_epsilon/value", 10.5)
	reasons == {[
		"training.privacy-spent",
		"epsilon 10.5 of the dataset, with epsilon 3 asked for; profile strict bears at most 10",
	]} with input as changed with data.interlock.profiles as capped
}

test_a_training_that_spent_more_than_was_left_is_denied if {
	changed := examples.changed(complete, "report/measures/dataset_epsilon/value", 10.5)
	reasons == {[
		"training.privacy-overspent",
		"epsilon 10.5 of the dataset; profile strict bears at most 10",
	]} with input as changed with data.interlock.profiles as capped
}

test_what_is_spent_must_be_known_where_it_is_capped if {
	every path in [
		"report",
		"report/measures",
		"report/measures/dataset_epsilon",
		"report/measures/dataset_epsilon/value",
	] {
		every document in examples.spoiled(complete, path) | examples.spoiled(guarded, path) {
			count(privacy.deny) > 0 with input as document with data.interlock.profiles as capped
		}
	}
	every document in {complete, guarded} {
		negative := examples.changed(document, "report/measures/dataset_epsilon/value", -1)
		count(privacy.deny) == 1 with input as negative with data.interlock.profiles as capped
	}
}

test_the_cap_must_be_there_with_its_type if {
	every profiles in examples.profiles_without("strict/training/max_dataset_epsilon") {
		every document in {complete, guarded} {
			large := examples.changed(document, "report/measures/dataset_epsilon/value", 11)
			count(privacy.deny) > 0 with input as large with data.interlock.profiles as profiles
		}
	}
}
