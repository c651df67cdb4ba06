# METADATA
# title: Tests of evidence.readable
package interlock.evidence.readable_test

import data.interlock.evidence.readable
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		readable.deny == set() with input as examples.allowed[name]
	}
}

test_an_unknown_verdict_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/verdict", "MAYBE")
	{[reason.id, reason.message] | some reason in readable.deny} == {[
		"evidence.readable",
		"a receipt lacks one of gate, verdict, issued, expires, profile, dev, same_run, bundle_known",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in [
			"receipts",
			"receipts/0/gate",
			"receipts/0/verdict",
			"receipts/0/issued",
			"receipts/0/expires",
			"receipts/0/profile",
			"receipts/0/dev",
			"receipts/0/same_run",
			"receipts/0/bundle_known",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(readable.deny) > 0 with input as document
			}
		}
	}
}
