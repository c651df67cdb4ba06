# METADATA
# title: Tests of pipeline.guard and pipeline.foreign-receipt
package interlock.pipeline.guard_test

import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.guard

why := "its command does not begin with the guard"

test_the_example_passes if {
	guard.deny == set() with input as examples.pipeline
	guard.applies with input as examples.pipeline
}

test_a_protected_step_without_a_guard_is_refused if {
	{[reason.id, reason.message] | some reason in guard.deny} == {[
		"pipeline.guard",
		sprintf("nothing asks for evidence as training step train starts: %s", [why]),
	]} with input as examples.changed("steps/3/unguarded", why)
}

test_an_ordinary_step_needs_no_guard if {
	guard.deny == set() with input as examples.changed("steps/2/unguarded", why)
}

test_an_importer_is_no_evidence if {
	{[reason.id, reason.message] | some reason in guard.deny} == {[
		"pipeline.foreign-receipt",
		"step train gets as evidence what is no gate's receipt: interlock_receipt_1 (s3://mine/r.json)",
	]} with input as examples.changed("steps/3/foreign_receipts", ["interlock_receipt_1 (s3://mine/r.json)"])
}
