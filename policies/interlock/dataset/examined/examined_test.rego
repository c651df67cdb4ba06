# METADATA
# title: Tests of dataset.examined
package interlock.dataset.examined_test

import data.interlock.dataset.examined
import data.interlock.examples_test as examples

complete := examples.complete.poisoning

test_the_complete_example_passes if examined.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if examined.deny == set() with input as examples.poisoning

test_a_row_without_a_label_is_denied if {
	changed := examples.changed(complete, "report/measures/unlabelled_rows/value", 500)
	{[reason.id, reason.message] | some reason in examined.deny} == {
		[
			"dataset.examined",
			"a fraction of 1 of the parts and 0.99 of the rows looked at; profile strict asks for at least 1",
		],
	} with input as changed
}

test_a_negative_count_is_denied if {
	changed := examples.changed(complete, "report/measures/unlabelled_rows/value", -1)
	{[reason.id, reason.message] | some reason in examined.deny} == {
		[
			"dataset.examined",
			"an unknown fraction looked at; profile strict asks for at least 1",
		],
	} with input as changed
}

test_a_skipped_part_is_denied if {
	changed := examples.changed(complete, "report/coverage/skipped", [{"path": "b.parquet", "reason": "r"}])
	{[reason.id, reason.message] | some reason in examined.deny} == {
		[
			"dataset.examined",
			"a fraction of 0.5 of the parts and 1 of the rows looked at; profile strict asks for at least 1",
		],
	} with input as changed
}

test_a_failed_part_is_denied if {
	changed := examples.changed(complete, "report/coverage/failed", [{"path": "b.parquet", "reason": "r"}])
	{[reason.id, reason.message] | some reason in examined.deny} == {
		[
			"dataset.examined",
			"a fraction of 0.5 of the parts and 1 of the rows looked at; profile strict asks for at least 1",
		],
	} with input as changed
}

test_no_part_at_all_is_denied if {
	changed := examples.changed(complete, "report/coverage/looked_at", [])
	{[reason.id, reason.message] | some reason in examined.deny} == {
		[
			"dataset.examined",
			"an unknown fraction looked at; profile strict asks for at least 1",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/measures",
		"report/measures/unlabelled_rows",
		"report/measures/unlabelled_rows/value",
		"report/measures/rows",
		"report/measures/rows/value",
		"report/coverage",
		"report/coverage/looked_at",
		"report/coverage/skipped",
		"report/coverage/failed",
	] {
		every document in examples.spoiled(complete, path) {
			count(examined.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/dataset",
		"strict/dataset/min_examined",
	] {
		every profiles in examples.profiles_without(path) {
			count(examined.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_a_validation_looks_at_all_rows if examined.deny == set() with input as examples.complete.validation

test_the_parts_of_a_validation_count if {
	changed := examples.changed(
		examples.complete.validation,
		"report/coverage/skipped",
		[{"path": "b.parquet", "reason": "r"}],
	)
	count(examined.deny) == 1 with input as changed
}

test_half_is_enough_for_a_profile_that_says_so if {
	changed := examples.changed(complete, "report/coverage/skipped", [{"path": "b.parquet", "reason": "r"}])
	examined.deny == set() with input as changed
		with data.interlock.profiles as examples.strictly("dataset/min_examined", 0.5)
}

test_other_gates_are_not_judged if examined.deny == set() with input as examples.complete.artifact
