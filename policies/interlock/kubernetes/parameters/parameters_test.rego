# METADATA
# title: Tests of the profile for Kubernetes objects
package interlock.kubernetes.parameters_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.parameters

test_the_bundle_names_the_profile_of_a_review if {
	parameters.name == "strict" with input as object.union(examples.allowed.pod, {"profile": "dev"})
		with data.interlock.kubernetes.settings.profile as "strict"
	parameters.profile.kubernetes.receipts == "known" with input as examples.allowed.pod
		with data.interlock.kubernetes.settings.profile as "strict"
}

test_a_decision_document_names_its_own if {
	parameters.name == "standard" with input as documents.deployment_guard
		with data.interlock.kubernetes.settings.profile as "dev"
}

test_no_profile_is_none if {
	every wrong in [null, 7, [], {}, "relaxed"] {
		not parameters.profile with input as examples.allowed.pod
			with data.interlock.kubernetes.settings.profile as wrong
	}
	parameters.shown == "(none)" with input as {}
	not parameters.profile with input as {}
}

test_names_are_texts if {
	every wrong in [null, 7, {}, "secret", ["secret", 7]] {
		profiles := {"standard": {"kubernetes": {"volumes": wrong}}}
		not parameters.names("kubernetes", "volumes") with input as examples.allowed.pod
			with data.interlock.profiles as profiles
	}
}
