# METADATA
# title: Tests of dataset.residency
package interlock.dataset.residency_test

import data.interlock.dataset.residency
import data.interlock.examples_test as examples

complete := examples.complete.validation

test_the_complete_example_passes if residency.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if residency.deny == set() with input as examples.validation

test_no_region_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/region", "")
	{[reason.id, reason.message] | some reason in residency.deny} == {
		[
			"dataset.residency",
			"stored in region ; profile strict permits whatever is stated",
		],
	} with input as changed
}

test_a_region_elsewhere_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/region", "us-east-1")
	{[reason.id, reason.message] | some reason in residency.deny} == {
		[
			"dataset.residency",
			"stored in region us-east-1; profile strict permits eu-central-1, eu-west-1",
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("dataset/regions", ["eu-central-1", "eu-west-1"])
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/dataset",
		"report/facts/dataset/region",
	] {
		every document in examples.spoiled(complete, path) {
			count(residency.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/dataset",
		"strict/dataset/regions",
	] {
		every profiles in examples.profiles_without(path) {
			count(residency.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_a_european_list_holds_europe if {
	residency.deny == set() with input as complete
		with data.interlock.profiles as examples.strictly("dataset/regions", ["eu-central-1", "eu-west-1"])
}
