# METADATA
# title: Tests of dataset.licences
package interlock.dataset.licences_test

import data.interlock.dataset.licences
import data.interlock.examples_test as examples

complete := examples.complete.validation

test_the_complete_example_passes if licences.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if licences.deny == set() with input as examples.validation

test_no_licence_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/licences", [])
	{[reason.id, reason.message] | some reason in licences.deny} == {
		[
			"dataset.licence",
			concat("", [
				"licences []; profile strict permits Apache-2.0, BSD-2-Clause, BSD-3-Clause, ",
				"CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0, CDLA-Permissive-2.0, MIT, ODC-By-1.0, PDDL-1.0",
			]),
		],
	} with input as changed
}

test_one_licence_that_is_not_listed_is_denied if {
	changed := examples.changed(complete, "report/facts/dataset/licences", ["MIT", "CC-BY-NC-4.0"])
	{[reason.id, reason.message] | some reason in licences.deny} == {
		[
			"dataset.licence",
			concat("", [
				"licences [\"MIT\", \"CC-BY-NC-4.0\"]; profile strict permits Apache-2.0, BSD-2-Clause, ",
				"BSD-3-Clause, CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0, CDLA-Permissive-2.0, MIT, ",
				"ODC-By-1.0, PDDL-1.0",
			]),
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/dataset",
		"report/facts/dataset/licences",
	] {
		every document in examples.spoiled(complete, path) {
			count(licences.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/dataset",
		"strict/dataset/licences",
	] {
		every profiles in examples.profiles_without(path) {
			count(licences.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_every_licence_is_text if {
	every wrong in [null, true, 7, [], {}] {
		changed := examples.changed(complete, "report/facts/dataset/licences/1", wrong)
		count(licences.deny) > 0 with input as changed
	}
}
