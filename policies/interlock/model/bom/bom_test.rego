# METADATA
# title: Tests of model.bom
package interlock.model.bom_test

import data.interlock.examples_test as examples
import data.interlock.model.bom

complete := examples.complete.artifact

test_the_complete_example_passes if bom.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if bom.deny == set() with input as examples.artifact

test_a_form_that_is_not_listed_is_denied if {
	changed := examples.changed(complete, "report/facts/model/bom/version", "1.2")
	{[reason.id, reason.message] | some reason in bom.deny} == {
		[
			"model.bom",
			concat("", [
				"bill of materials {\"format\": \"CycloneDX\", \"version\": \"1.2\"}; profile strict permits ",
				"CycloneDX 1.5, CycloneDX 1.6, CycloneDX 1.7",
			]),
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/model",
		"report/facts/model/bom",
		"report/facts/model/bom/format",
		"report/facts/model/bom/version",
	] {
		every document in examples.spoiled(complete, path) {
			count(bom.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/model",
		"strict/model/boms",
	] {
		every profiles in examples.profiles_without(path) {
			count(bom.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}
