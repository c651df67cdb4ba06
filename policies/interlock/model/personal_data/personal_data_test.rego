# METADATA
# title: Tests of model.personal-data
package interlock.model.personal_data_test

import data.interlock.examples_test as examples
import data.interlock.model.personal_data

complete := examples.complete.artifact

test_the_complete_example_passes if personal_data.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if personal_data.deny == set() with input as examples.artifact

test_one_is_denied if {
	changed := examples.changed(complete, "report/measures/personal_data/value", 1)
	{[reason.id, reason.message] | some reason in personal_data.deny} == {[
		"model.personal-data",
		"personal data found: 1; profile strict bears at most 0",
	]} with input as changed
}

test_nobody_looked_is_denied if {
	unseen := json.remove(complete, ["report/measures/personal_data"])
	{[reason.id, reason.message] | some reason in personal_data.deny} == {[
		"model.personal-data",
		"personal data found: nothing readable; profile strict bears at most 0",
	]} with input as unseen
}

test_every_field_read_must_be_there_with_its_type if {
	every path in ["report", "report/measures", "report/measures/personal_data", "report/measures/personal_data/value"] {
		every document in examples.spoiled(complete, path) {
			count(personal_data.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["strict/model", "strict/model/max_personal_data"] {
		# Some of what is put there is a number, but none of them is 9 or more.
		every profiles in examples.profiles_without(path) {
			count(personal_data.deny) > 0 with input as examples.changed(complete, "report/measures/personal_data/value", 9)
				with data.interlock.profiles as profiles
		}
	}
}
