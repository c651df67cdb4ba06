# METADATA
# title: Tests of evidence.verdict
package interlock.evidence.verdict_test

import data.interlock.evidence.verdict
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		verdict.deny == set() with input as examples.allowed[name]
	}
}

test_a_receipt_that_denies_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/verdict", "DENY")
	{[reason.id, reason.message] | some reason in verdict.deny} == {[
		"evidence.verdict",
		"the newest receipt of data-validation says DENY",
	]} with input as changed
}

test_a_receipt_that_is_undecided_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/verdict", "UNDECIDED")
	{[reason.id, reason.message] | some reason in verdict.deny} == {[
		"evidence.verdict",
		"the newest receipt of data-validation says UNDECIDED",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["receipts/0/verdict"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(verdict.deny) > 0 with input as document
			}
		}
	}
}

with_another(fields) := object.union(examples.training_guard, {"receipts": array.concat(
	examples.training_guard.receipts,
	[object.union(examples.receipt("data-validation"), fields)],
)})

test_a_later_deny_takes_back_an_earlier_allow if {
	later := with_another({"verdict": "DENY", "issued": "2026-11-23T11:30:00.000000Z"})
	count(verdict.deny) == 1 with input as later
}

test_a_later_allow_outweighs_an_earlier_deny if {
	earlier := with_another({"verdict": "DENY", "issued": "2026-11-23T10:30:00.000000Z"})
	verdict.deny == set() with input as earlier
}

test_at_the_same_moment_the_deny_counts if {
	count(verdict.deny) == 1 with input as with_another({"verdict": "DENY"})
}

test_a_later_deny_of_another_run_does_not_count_where_runs_are_kept_apart if {
	other := with_another({"verdict": "DENY", "issued": "2026-11-23T11:30:00.000000Z", "same_run": false})
	verdict.deny == set() with input as other
	count(verdict.deny) == 1 with input as object.union(other, {"profile": "dev"})
}
