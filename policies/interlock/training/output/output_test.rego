# METADATA
# title: Tests of training.output
package interlock.training.output_test

import data.interlock.examples_test as examples
import data.interlock.training.output

test_the_example_passes if {
	every name in ["finished_training"] {
		output.deny == set() with input as examples.allowed[name]
	}
}

test_an_empty_output_is_denied if {
	changed := examples.changed(examples.finished_training, "report/measures/output_bytes/value", 0)
	{[reason.id, reason.message] | some reason in output.deny} == {[
		"training.output",
		"the training left 0 bytes; profile standard asks for at least 1",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["finished_training"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/output_bytes",
			"report/measures/output_bytes/value",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(output.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["finished_training"] {
		every path in ["standard/training", "standard/training/min_output_bytes"] {
			every profiles in examples.profiles_without(path) {
				count(output.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}
