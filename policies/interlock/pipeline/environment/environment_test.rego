# METADATA
# title: Tests of pipeline.environment
package interlock.pipeline.environment_test

import data.interlock.pipeline.environment
import data.interlock.pipeline.examples_test as examples

given(step, name) := examples.changed(sprintf("steps/%d/settings", [step]), [{
	"name": name,
	"kind": "env",
	"shape": "plain",
}])

test_the_example_passes if {
	environment.deny == set() with input as examples.pipeline
	environment.applies with input as examples.pipeline
}

test_a_setting_of_interlock_is_refused_on_every_step if {
	every step in [0, 2, 3] {
		{reason.id | some reason in environment.deny} == {"pipeline.environment"} with input as given(
			step,
			"INTERLOCK_PROFILE",
		)
	}
}

test_a_path_of_code_is_refused_where_evidence_is_made_or_asked_for if {
	every name in ["PYTHONPATH", "LD_PRELOAD", "PATH"] {
		count(environment.deny) == 1 with input as given(0, name)
		count(environment.deny) == 1 with input as given(5, name)
		environment.deny == set() with input as given(2, name)
	}
	environment.deny == set() with input as given(0, "PATHS")
}
