# METADATA
# title: Tests of evidence.signer
package interlock.evidence.signer_test

import data.interlock.evidence.signer
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		signer.deny == set() with input as examples.allowed[name]
	}
}

test_a_development_key_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/dev", true)
	{[reason.id, reason.message] | some reason in signer.deny} == {[
		"evidence.signer",
		"the receipt of data-validation is signed with a development key; profile standard does not accept that",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["receipts/0/dev"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(signer.deny) > 0 with input as document
			}
		}
	}
}

dev := object.union(
	examples.changed(examples.training_guard, "receipts/0/dev", true),
	{"profile": "dev"},
)

test_a_development_key_is_a_warning_in_the_dev_profile if {
	signer.deny == set() with input as dev
	messages := {w.message | some w in signer.warn} with input as dev
	messages == {"the receipt of data-validation is signed with a development key"}
}

test_the_dev_profile_must_say_so if {
	every path in ["dev/evidence", "dev/evidence/accept_dev_receipts"] {
		every profiles in examples.profiles_without(path) {
			count(signer.deny) > 0 with input as dev with data.interlock.profiles as profiles
		}
	}
}
