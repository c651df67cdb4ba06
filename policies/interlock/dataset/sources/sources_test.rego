# METADATA
# title: Tests of dataset.sources
package interlock.dataset.sources_test

import data.interlock.dataset.sources
import data.interlock.examples_test as examples

complete := examples.complete.validation

test_the_complete_example_passes if sources.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if sources.deny == set() with input as examples.validation

test_no_source_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/sources", [])
	{[reason.id, reason.message] | some reason in sources.deny} == {
		[
			"dataset.source",
			"sources []; profile strict permits whatever is stated",
		],
	} with input as changed
}

test_an_empty_source_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/sources", [""])
	{[reason.id, reason.message] | some reason in sources.deny} == {
		[
			"dataset.source",
			"sources [\"\"]; profile strict permits whatever is stated",
		],
	} with input as changed
}

test_a_source_that_is_not_listed_is_denied if {
	changed := examples.changed(
		complete,
		"report/facts/dataset/sources",
		[
			"s3://lake/raw/",
			"s3://other/raw/",
		],
	)
	{[reason.id, reason.message] | some reason in sources.deny} == {
		[
			"dataset.source",
			"sources [\"s3://lake/raw/\", \"s3://other/raw/\"]; profile strict permits s3://lake/",
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("dataset/sources", ["s3://lake/"])
}

test_a_source_beside_a_listed_one_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/sources", ["s3://lake-evil/raw/"])
	{[reason.id, reason.message] | some reason in sources.deny} == {
		[
			"dataset.source",
			"sources [\"s3://lake-evil/raw/\"]; profile strict permits s3://lake",
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("dataset/sources", ["s3://lake"])
}

test_a_way_out_of_a_listed_place_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/sources", ["s3://lake/../evil"])
	{[reason.id, reason.message] | some reason in sources.deny} == {
		[
			"dataset.source",
			"sources [\"s3://lake/../evil\"]; profile strict permits s3://lake/",
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("dataset/sources", ["s3://lake/"])
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/dataset",
		"report/facts/dataset/sources",
		"report/facts/dataset/sources/0",
	] {
		every document in examples.spoiled(complete, path) {
			count(sources.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/dataset",
		"strict/dataset/sources",
	] {
		every profiles in examples.profiles_without(path) {
			count(sources.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_a_listed_source_and_what_lies_under_it_pass if {
	every listed in ["s3://lake/raw/", "s3://lake/raw", "s3://lake/", "s3://lake"] {
		sources.deny == set() with input as complete
			with data.interlock.profiles as examples.strictly("dataset/sources", [listed])
	}
}
