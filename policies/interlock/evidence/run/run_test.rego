# METADATA
# title: Tests of evidence.run
package interlock.evidence.run_test

import data.interlock.evidence.run
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		run.deny == set() with input as examples.allowed[name]
	}
}

test_another_run_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/same_run", false)
	{[reason.id, reason.message] | some reason in run.deny} == {[
		"evidence.run",
		"the receipt of data-validation comes from another run; profile standard asks for the same run",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["receipts/0/same_run"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(run.deny) > 0 with input as document
			}
		}
	}
}

other := examples.changed(examples.training_guard, "receipts/0/same_run", false)

test_another_run_counts_in_the_dev_profile if {
	run.deny == set() with input as object.union(other, {"profile": "dev"})
}

test_the_run_must_be_said_in_the_dev_profile_too if {
	every document in examples.spoiled(other, "receipts/0/same_run") {
		count(run.deny) > 0 with input as object.union(document, {"profile": "dev"})
	}
}

test_the_parameter_must_be_there_with_its_type if {
	every path in ["dev/evidence", "dev/evidence/same_run"] {
		every profiles in examples.profiles_without(path) {
			count(run.deny) > 0 with input as object.union(other, {"profile": "dev"}) with data.interlock.profiles as profiles
		}
	}
}
