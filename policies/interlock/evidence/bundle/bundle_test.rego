# METADATA
# title: Tests of evidence.bundle
package interlock.evidence.bundle_test

import data.interlock.evidence.bundle
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		bundle.deny == set() with input as examples.allowed[name]
	}
}

test_an_unknown_bundle_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/bundle_known", false)
	{[reason.id, reason.message] | some reason in bundle.deny} == {[
		"evidence.bundle",
		"the receipt of data-validation was decided by a policy bundle that is not known here",
	]} with input as changed
}

test_a_newer_receipt_of_an_unknown_bundle_does_not_hide_one_of_a_known_bundle if {
	newer := object.union(
		examples.receipt("data-validation"),
		{"bundle_known": false, "verdict": "DENY", "issued": "2026-11-23T11:30:00.000000Z"},
	)
	both := object.union(
		examples.training_guard,
		{"receipts": array.concat(examples.training_guard.receipts, [newer])},
	)
	bundle.deny == set() with input as both
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["receipts/0/bundle_known"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(bundle.deny) > 0 with input as document
			}
		}
	}
}
