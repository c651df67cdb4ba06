# METADATA
# title: Tests of evidence.required
package interlock.evidence.required_test

import data.interlock.evidence.required
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		required.deny == set() with input as examples.allowed[name]
	}
}

test_a_missing_receipt_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/1/gate", "artifact-scan")
	{[reason.id, reason.message] | some reason in required.deny} == {[
		"evidence.required",
		"no receipt of data-poisoning for these bytes",
	]} with input as changed
}

test_a_receipt_that_the_guard_misses_is_denied if {
	changed := examples.changed(examples.deployment_guard, "report/measures/receipts_missing/value", 1)
	{[reason.id, reason.message] | some reason in required.deny} == {[
		"evidence.complete",
		"the guard misses 1 receipts",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/receipts_missing",
			"report/measures/receipts_missing/value",
			"receipts",
			"receipts/0",
			"receipts/0/gate",
			"receipts/0/issued",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(required.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["standard/required"] {
			every profiles in examples.profiles_without(path) {
				count(required.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}

test_a_profile_that_requires_nothing_is_denied if {
	every wrong in [null, "data-validation", [], {}, [null], 7] {
		profiles := examples.changed(data.interlock.profiles, "standard/required/training", wrong)
		ids := {r.id | some r in required.deny} with input as examples.training_guard with data.interlock.profiles as profiles
		ids == {"evidence.nothing-required"}
	}
}
