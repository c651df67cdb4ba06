# METADATA
# title: Tests of model.unsafe-code
package interlock.model.unsafe_code_test

import data.interlock.examples_test as examples
import data.interlock.model.unsafe_code

test_the_example_passes if {
	every name in ["artifact"] {
		unsafe_code.deny == set() with input as examples.allowed[name]
	}
}

test_an_unknown_global_is_denied if {
	changed := examples.changed(examples.artifact, "report/measures/unsafe_globals/value", 2)
	{[reason.id, reason.message] | some reason in unsafe_code.deny} == {[
		"model.unsafe-code",
		"2 globals are not on the allow-list",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["artifact"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/unsafe_globals",
			"report/measures/unsafe_globals/value",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(unsafe_code.deny) > 0 with input as document
			}
		}
	}
}
