# METADATA
# title: Tests of pipeline.gate-cached
package interlock.pipeline.caching_test

import data.interlock.pipeline.caching
import data.interlock.pipeline.examples_test as examples

test_the_example_passes if {
	caching.deny == set() with input as examples.pipeline
	caching.applies with input as examples.pipeline
}

test_a_cached_gate_is_refused if {
	{[reason.id, reason.message] | some reason in caching.deny} == {[
		"pipeline.gate-cached",
		"gate poisoning (data-poisoning) is cached: an old verdict would stand for new bytes",
	]} with input as examples.changed("steps/1/cached", true)
}

test_a_training_that_makes_evidence_is_a_gate_too if {
	count(caching.deny) == 1 with input as examples.changed("steps/3/cached", true)
}
