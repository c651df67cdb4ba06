# METADATA
# title: Tests of pipeline.steps
package interlock.pipeline.size_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.size

test_the_example_passes if {
	size.deny == set() with input as examples.pipeline
	size.applies with input as examples.pipeline
}

test_too_many_steps_are_refused if {
	profiles := documents.changed(data.interlock.profiles, "standard/pipeline/max_steps", 6)
	reasons := size.deny with input as examples.pipeline with data.interlock.profiles as profiles
	{[reason.id, reason.message] | some reason in reasons} == {[
		"pipeline.steps",
		"7 steps; profile standard allows 6",
	]}
	enough := documents.changed(data.interlock.profiles, "standard/pipeline/max_steps", 7)
	size.deny == set() with input as examples.pipeline with data.interlock.profiles as enough
}

test_the_parameter_must_be_there_with_its_type if {
	every path in ["standard/pipeline", "standard/pipeline/max_steps"] {
		every profiles in documents.profiles_without(path) {
			count(size.deny) == 1 with input as examples.pipeline with data.interlock.profiles as profiles
		}
	}
}
