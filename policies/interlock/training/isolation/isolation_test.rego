# METADATA
# title: Tests of training.isolation
package interlock.training.isolation_test

import data.interlock.examples_test as examples
import data.interlock.training.isolation

test_the_example_passes if {
	every name in ["finished_training"] {
		isolation.deny == set() with input as examples.allowed[name]
	}
}

test_a_weak_level_is_denied if {
	changed := examples.changed(examples.finished_training, "requested/isolation", "rlimits")
	{[reason.id, reason.message] | some reason in isolation.deny} == {[
		"training.isolation",
		"isolation rlimits (measured rank 3); profile standard accepts bwrap, landlock+seccomp",
	]} with input as changed
}

test_a_level_that_was_not_measured_is_denied if {
	changed := examples.changed(examples.finished_training, "requested/isolation", "landlock+seccomp")
	{[reason.id, reason.message] | some reason in isolation.deny} == {[
		"training.isolation",
		"isolation landlock+seccomp (measured rank 3); profile standard accepts bwrap, landlock+seccomp",
	]} with input as changed
}

test_a_level_that_is_only_named_is_denied if {
	changed := examples.changed(examples.finished_training, "report/measures/isolation_rank/value", 1)
	{[reason.id, reason.message] | some reason in isolation.deny} == {[
		"training.isolation",
		"isolation bwrap (measured rank 1); profile standard accepts bwrap, landlock+seccomp",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["finished_training"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/isolation_rank",
			"report/measures/isolation_rank/value",
			"requested",
			"requested/isolation",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(isolation.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["finished_training"] {
		every path in ["standard/training", "standard/training/isolation"] {
			every profiles in examples.profiles_without(path) {
				count(isolation.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}
