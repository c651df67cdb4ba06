# METADATA
# title: Tests of evidence.profile
package interlock.evidence.profile_test

import data.interlock.evidence.profile
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		profile.deny == set() with input as examples.allowed[name]
	}
}

test_a_weaker_profile_is_denied if {
	changed := examples.changed(examples.training_guard, "receipts/0/profile", "dev")
	{[reason.id, reason.message] | some reason in profile.deny} == {[
		"evidence.profile",
		"the receipt of data-validation was issued under profile dev; profile standard accepts standard, strict",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["receipts/0/profile"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(profile.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["standard/evidence/accept_profiles"] {
			every profiles in examples.profiles_without(path) {
				count(profile.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}
