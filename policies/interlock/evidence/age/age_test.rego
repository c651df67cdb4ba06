# METADATA
# title: Tests of evidence.age
package interlock.evidence.age_test

import data.interlock.evidence.age
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		age.deny == set() with input as examples.allowed[name]
	}
}

test_an_old_receipt_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/issued", "2026-11-22T11:59:59.000000Z")
	{[reason.id, reason.message] | some reason in age.deny} == {[
		"evidence.age",
		concat("", [
			"the receipt of data-validation was issued 2026-11-22T11:59:59.000000Z and expires ",
			"2026-11-24T11:00:00.000000Z; now is 2026-11-23T12:00:00.000000Z, and profile standard ",
			"accepts 86400 seconds",
		]),
	]} with input as changed
}

test_a_receipt_of_the_future_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/issued", "2026-11-23T12:02:00.000000Z")
	{[reason.id, reason.message] | some reason in age.deny} == {[
		"evidence.age",
		concat("", [
			"the receipt of data-validation was issued 2026-11-23T12:02:00.000000Z and expires ",
			"2026-11-24T11:00:00.000000Z; now is 2026-11-23T12:00:00.000000Z, and profile standard ",
			"accepts 86400 seconds",
		]),
	]} with input as changed
}

test_an_expired_receipt_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/expires", "2026-11-23T12:00:00.000000Z")
	{[reason.id, reason.message] | some reason in age.deny} == {[
		"evidence.age",
		concat("", [
			"the receipt of data-validation was issued 2026-11-23T11:00:00.000000Z and expires ",
			"2026-11-23T12:00:00.000000Z; now is 2026-11-23T12:00:00.000000Z, and profile standard ",
			"accepts 86400 seconds",
		]),
	]} with input as changed
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["standard/evidence/max_age_seconds", "standard/evidence/clock_skew_seconds"] {
			every profiles in examples.profiles_without(path) {
				count(age.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}

test_clocks_may_differ_a_little if {
	age.deny == set() with input as examples.changed(
		examples.training_guard,
		"receipts/0/issued",
		"2026-11-23T12:00:30.000000Z",
	)
}

# Text that is no time is an error of the builtin, which no engine of ours lets pass; here only other types.
test_times_must_be_there_with_their_type if {
	every path in ["now", "receipts/0/expires"] {
		every document in examples.spoiled(examples.training_guard, path) {
			count(age.deny) > 0 with input as document
		}
	}
}
