# METADATA
# title: Tests of model.provenance
package interlock.model.provenance_test

import data.interlock.examples_test as examples
import data.interlock.model.provenance

complete := examples.complete.artifact

test_a_profile_that_does_not_ask_passes if provenance.deny == set() with input as examples.artifact

built := examples.strictly("model/builders", "stated")

listed := examples.strictly("model/builders", ["https://ci.example/builder"])

test_provenance_of_a_permitted_builder_passes if {
	every profiles in [built, listed] {
		provenance.deny == set() with input as complete with data.interlock.profiles as profiles
	}
}

test_another_builder_is_denied if {
	changed := examples.changed(complete, "report/facts/model/provenance/builder", "https://evil.example/")
	{[reason.id, reason.message] | some reason in provenance.deny} == {[
		"model.provenance",
		concat("", [
			"provenance verified: true, builder https://evil.example/; ",
			"profile strict permits https://ci.example/builder",
		]),
	]} with input as changed with data.interlock.profiles as listed
}

test_provenance_that_does_not_verify_is_denied if {
	changed := examples.changed(complete, "report/facts/model/provenance/verified", false)
	count(provenance.deny) == 1 with input as changed with data.interlock.profiles as built
}

test_every_field_of_the_statement_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/model",
		"report/facts/model/provenance",
		"report/facts/model/provenance/verified",
		"report/facts/model/provenance/builder",
	] {
		every document in examples.spoiled(complete, path) {
			count(provenance.deny) > 0 with input as document with data.interlock.profiles as built
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["strict/model", "strict/model/builders"] {
		every profiles in examples.profiles_without(path) {
			count(provenance.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
	every path in ["strict/model", "strict/model/training_receipt"] {
		every profiles in examples.profiles_without(path) {
			count(provenance.deny) > 0 with input as examples.complete.deployment_guard with data.interlock.profiles as profiles
		}
	}
}

test_a_model_that_was_trained_here_passes if provenance.deny == set() with input as examples.complete.deployment_guard

test_a_model_without_a_receipt_of_its_training_is_denied if {
	every wrong in ["DENY", "UNDECIDED", "allow", null, true] {
		changed := examples.changed(examples.complete.deployment_guard, "receipts/1/verdict", wrong)
		{[reason.id, reason.message] | some reason in provenance.deny} == {[
			"model.training-receipt",
			"no receipt of a training for these bytes; profile strict asks for one",
		]} with input as changed
	}
}

test_every_field_of_the_receipt_must_be_there_with_its_type if {
	every path in [
		"receipts",
		"receipts/1",
		"receipts/1/gate",
		"receipts/1/verdict",
		"receipts/1/issued",
		"receipts/1/dev",
		"receipts/1/bundle_known",
	] {
		every document in examples.spoiled(examples.complete.deployment_guard, path) {
			count(provenance.deny) > 0 with input as document
		}
	}
}

test_a_profile_may_do_without_a_training_receipt if {
	changed := json.remove(examples.complete.deployment_guard, ["receipts/1"])
	provenance.deny == set() with input as changed
		with data.interlock.profiles as examples.strictly("model/training_receipt", false)
}

test_a_later_deny_takes_the_receipt_back if {
	guard := examples.complete.deployment_guard
	later := object.union(guard.receipts[1], {"verdict": "DENY", "issued": "2026-11-23T11:45:00Z"})
	changed := object.union(guard, {"receipts": array.concat(guard.receipts, [later])})
	{reason.id | some reason in provenance.deny} == {"model.training-receipt"} with input as changed
}

test_a_receipt_of_an_unknown_policy_or_a_development_key_does_not_count if {
	every path, value in {"receipts/1/bundle_known": false, "receipts/1/dev": true} {
		changed := examples.changed(examples.complete.deployment_guard, path, value)
		{reason.id | some reason in provenance.deny} == {"model.training-receipt"} with input as changed
	}
}
