# METADATA
# title: Tests of dataset.balance
package interlock.dataset.balance_test

import data.interlock.dataset.balance
import data.interlock.examples_test as examples

complete := examples.complete.poisoning

test_the_complete_example_passes if balance.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if balance.deny == set() with input as examples.poisoning

test_one_class_is_denied if {
	changed := examples.changed(complete, "report/measures/classes/value", 1)
	{[reason.id, reason.message] | some reason in balance.deny} == {
		[
			"dataset.classes",
			"1 classes; profile strict asks for at least 2",
		],
	} with input as changed
}

test_a_tiny_class_is_denied if {
	changed := examples.changed(complete, "report/measures/smallest_class_rows/value", 9)
	{[reason.id, reason.message] | some reason in balance.deny} == {
		[
			"dataset.smallest-class",
			"9 rows in the smallest class; profile strict asks for at least 10",
		],
	} with input as changed
}

test_a_thin_class_is_denied if {
	changed := examples.changed(complete, "report/measures/smallest_class_fraction/value", 0.0009)
	{[reason.id, reason.message] | some reason in balance.deny} == {
		[
			"dataset.class-share",
			"0.0009 of the rows are in the smallest class; profile strict asks for at least 0.001",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/measures",
		"report/measures/classes",
		"report/measures/classes/value",
		"report/measures/smallest_class_rows",
		"report/measures/smallest_class_rows/value",
		"report/measures/smallest_class_fraction",
		"report/measures/smallest_class_fraction/value",
	] {
		every document in examples.spoiled(complete, path) {
			count(balance.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/dataset",
		"strict/dataset/min_classes",
		"strict/dataset/min_smallest_class_rows",
		"strict/dataset/min_smallest_class_fraction",
	] {
		every profiles in examples.profiles_without(path) {
			count(balance.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}
