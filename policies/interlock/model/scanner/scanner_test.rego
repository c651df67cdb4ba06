# METADATA
# title: Tests of model.scanner
package interlock.model.scanner_test

import data.interlock.examples_test as examples
import data.interlock.model.scanner

complete := examples.complete.artifact

test_the_complete_example_passes if scanner.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if scanner.deny == set() with input as examples.artifact

test_a_wider_allow_list_is_denied if {
	changed := examples.changed(complete, "report/configuration/profile", "torch-checkpoint")
	{[reason.id, reason.message] | some reason in scanner.deny} == {
		[
			"model.scanner",
			"scanned with torch-checkpoint; profile strict permits torch-state-dict",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/configuration",
		"report/configuration/profile",
	] {
		every document in examples.spoiled(complete, path) {
			count(scanner.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/model",
		"strict/model/scan_profiles",
	] {
		every profiles in examples.profiles_without(path) {
			count(scanner.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}
