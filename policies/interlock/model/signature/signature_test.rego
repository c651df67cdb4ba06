# METADATA
# title: Tests of model.signature
package interlock.model.signature_test

import data.interlock.examples_test as examples
import data.interlock.model.signature

complete := examples.complete.artifact

test_the_complete_example_passes if signature.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if signature.deny == set() with input as examples.artifact

test_a_signature_that_does_not_verify_is_denied if {
	changed := examples.changed(complete, "report/facts/model/signature/verified", false)
	{[reason.id, reason.message] | some reason in signature.deny} == {
		[
			"model.signature",
			"signature verified: false, signer release; profile strict permits whatever is stated",
		],
	} with input as changed
}

test_a_signer_without_a_name_is_denied if {
	changed := examples.changed(complete, "report/facts/model/signature/signer", "")
	{[reason.id, reason.message] | some reason in signature.deny} == {
		[
			"model.signature",
			"signature verified: true, signer ; profile strict permits whatever is stated",
		],
	} with input as changed
}

test_another_signer_is_denied if {
	changed := examples.changed(complete, "report/facts/model/signature/signer", "mallory")
	{[reason.id, reason.message] | some reason in signature.deny} == {
		[
			"model.signature",
			"signature verified: true, signer mallory; profile strict permits release",
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("model/signers", ["release"])
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/model",
		"report/facts/model/signature",
		"report/facts/model/signature/verified",
		"report/facts/model/signature/signer",
	] {
		every document in examples.spoiled(complete, path) {
			count(signature.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/model",
		"strict/model/signers",
	] {
		every profiles in examples.profiles_without(path) {
			count(signature.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_a_listed_signer_passes if {
	signature.deny == set() with input as complete
		with data.interlock.profiles as examples.strictly("model/signers", ["release"])
}
