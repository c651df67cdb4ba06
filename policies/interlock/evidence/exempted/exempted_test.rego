# METADATA
# title: Tests of evidence.exempted
package interlock.evidence.exempted_test

import data.interlock.evidence.exempted
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["training_guard", "deployment_guard"] {
		exempted.deny == set() with input as examples.allowed[name]
		exempted.warn == set() with input as examples.allowed[name]
	}
}

used := examples.changed(examples.training_guard, "receipts/0/exemptions", ["EX-1"])

test_an_exemption_is_a_warning_where_the_profile_accepts_it if {
	exempted.deny == set() with input as used
	{[w.id, w.message] | some w in exempted.warn} == {[
		"evidence.exempted",
		`the receipt of data-validation used exemptions: ["EX-1"]`,
	]} with input as used
}

test_an_exemption_is_denied_where_the_profile_does_not_accept_it if {
	{[reason.id, reason.message] | some reason in exempted.deny} == {[
		"evidence.exempted",
		`the receipt of data-validation used exemptions: ["EX-1"]; profile strict does not accept that`,
	]} with input as examples.changed(examples.complete.training_guard, "receipts/0/exemptions", ["EX-1"])
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["training_guard", "deployment_guard"] {
		every path in ["receipts/0/exemptions"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(exempted.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["standard/evidence", "standard/evidence/accept_exempted"] {
		every profiles in examples.profiles_without(path) {
			count(exempted.deny) > 0 with input as used with data.interlock.profiles as profiles
		}
	}
}
