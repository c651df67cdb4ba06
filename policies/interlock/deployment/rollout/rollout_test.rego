# METADATA
# title: Tests of deployment.rollout
package interlock.deployment.rollout_test

import data.interlock.deployment.examples_test as examples
import data.interlock.deployment.rollout
import data.interlock.examples_test as documents

messages(document) := {reason.message |
	# regal ignore:with-outside-test-context,external-reference
	some reason in rollout.deny with input as document with data.interlock.profiles as examples.demanding
}

test_the_example_passes if {
	messages(examples.full) == set()
	rollout.applies with input as examples.full
}

test_it_may_be_absent_where_the_profile_says_so if {
	rollout.deny == set() with input as documents.deployment_guard
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"requested",
		"requested/rollout",
		"requested/rollout/canary_percent",
		"requested/rollout/rollback_to",
		"subject",
		"subject/digest",
		"subject/digest/sha256",
	] {
		every document in examples.spoiled(path) {
			count(messages(document)) == 1
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every wrong in [null, true, "20", [], {}] {
		profiles := documents.changed(examples.demanding, "standard/deployment/max_canary_percent", wrong)
		count(rollout.deny) == 1 with input as examples.full with data.interlock.profiles as profiles
	}
}

test_a_rollout_that_is_not_careful_is_refused if {
	every wrong in [
		{"canary_percent": 0},
		{"canary_percent": -5},
		{"canary_percent": 20.5},
		{"canary_percent": 100},
		{"rollback_to": ""},
		{"rollback_to": " "},
		{"rollback_to": concat("", ["fraud/champion@sha256:", documents.digest])},
	] {
		count(messages(object.union(examples.full, {"requested": {"rollout": wrong}}))) == 1
	}
}

test_the_message_says_what_was_declared if {
	messages(json.remove(examples.full, ["requested/rollout"])) == {concat(" ", [
		"the rollout is not declared;",
		"profile standard asks for a canary of at most 20 percent and a way back",
	])}
	messages(examples.changed("requested/rollout", {"canary_percent": 50})) == {concat(" ", [
		`the rollout is {"canary_percent": 50};`,
		"profile standard asks for a canary of at most 20 percent and a way back",
	])}
}
