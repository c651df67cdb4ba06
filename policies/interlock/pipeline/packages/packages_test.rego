# METADATA
# title: Tests of pipeline.packages
package interlock.pipeline.packages_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.packages

installing := examples.changed("steps/2/installs", ["torch", "kfp==2.16.1"])

test_the_example_passes if {
	packages.deny == set() with input as examples.pipeline
	packages.applies with input as examples.pipeline
}

test_packages_at_the_start_are_refused if {
	{[reason.id, reason.message] | some reason in packages.deny} == {[
		"pipeline.packages",
		"step load installs torch, kfp==2.16.1 as it starts",
	]} with input as installing
	packages.warn == set() with input as installing
}

test_an_audit_warns if {
	profiles := documents.changed(data.interlock.profiles, "standard/pipeline/packages", "audit")
	packages.deny == set() with input as installing with data.interlock.profiles as profiles
	warnings := packages.warn with input as installing with data.interlock.profiles as profiles
	{warning.id | some warning in warnings} == {"pipeline.packages-audited"}
}

test_without_a_mode_it_is_enforced if {
	every profiles in documents.profiles_without("standard/pipeline/packages") {
		count(packages.deny) == 1 with input as installing with data.interlock.profiles as profiles
	}
}
