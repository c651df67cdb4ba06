# METADATA
# title: Tests of evidence.trusted
package interlock.evidence.trusted_test

import data.interlock.evidence.trusted
import data.interlock.examples_test as examples

complete := examples.complete.training_guard

listed := examples.strictly("evidence/signers", {"data-validation": ["2f8c"], "data-poisoning": ["77aa", "2f8c"]})

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		trusted.deny == set() with input as examples.allowed[name]
	}
}

test_a_listed_key_passes if trusted.deny == set() with input as complete with data.interlock.profiles as listed

test_a_key_that_is_listed_for_another_gate_is_denied if {
	changed := examples.changed(complete, "receipts/0/keyid", "77aa")
	{[reason.id, reason.message] | some reason in trusted.deny} == {[
		"evidence.untrusted-signer",
		"the receipt of data-validation is signed with key 77aa; profile strict does not list it for that gate",
	]} with input as changed with data.interlock.profiles as listed
}

test_a_gate_without_a_list_trusts_nobody if {
	{reason.id | some reason in trusted.deny} == {"evidence.untrusted-signer"} with input as complete
		with data.interlock.profiles as examples.strictly("evidence/signers", {"data-validation": ["2f8c"]})
}

test_every_field_read_must_be_there_with_its_type if {
	every document in examples.spoiled(complete, "receipts/0/keyid") {
		count(trusted.deny) > 0 with input as document with data.interlock.profiles as listed
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["strict/evidence/signers"] {
		every profiles in examples.profiles_without(path) {
			count(trusted.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
	every wrong in ["2f8c", null, {"2f8c": true}, 7, [null]] {
		count(trusted.deny) > 0 with input as complete
			with data.interlock.profiles as examples.strictly("evidence/signers", {"data-validation": wrong})
	}
}
