# METADATA
# title: Tests of dataset.pii
package interlock.dataset.pii_test

import data.interlock.dataset.pii
import data.interlock.examples_test as examples

complete := examples.complete.validation

test_the_complete_example_passes if pii.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if pii.deny == set() with input as examples.validation

test_personal_data_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/pii", "personal")
	{[reason.id, reason.message] | some reason in pii.deny} == {
		[
			"dataset.pii",
			"class of personal data personal; profile strict permits none, pseudonymised",
		],
	} with input as changed
}

test_an_unknown_class_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/pii", "No")
	{[reason.id, reason.message] | some reason in pii.deny} == {
		[
			"dataset.pii",
			"class of personal data No; profile strict permits none, pseudonymised",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/dataset",
		"report/facts/dataset/pii",
	] {
		every document in examples.spoiled(complete, path) {
			count(pii.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/dataset",
		"strict/dataset/pii",
	] {
		every profiles in examples.profiles_without(path) {
			count(pii.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}
