# METADATA
# title: Tests of deployment.approval
package interlock.deployment.approval_test

import data.interlock.deployment.approval
import data.interlock.deployment.examples_test as examples
import data.interlock.examples_test as documents

messages(document) := {reason.message |
	# regal ignore:with-outside-test-context,external-reference
	some reason in approval.deny with input as document with data.interlock.profiles as examples.demanding
}

test_the_example_passes if {
	messages(examples.full) == set()
	approval.applies with input as examples.full
}

test_no_approval_is_needed_where_the_profile_asks_for_none if {
	approval.deny == set() with input as documents.deployment_guard
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"now",
		"subject",
		"subject/digest",
		"subject/digest/sha256",
		"requested",
		"requested/author",
		"approvals",
		"approvals/0",
		"approvals/0/by",
		"approvals/0/keyid",
		"approvals/0/step",
		"approvals/0/digest",
		"approvals/0/digest/sha256",
		"approvals/0/issued",
		"approvals/0/expires",
		"approvals/0/dev",
	] {
		every document in examples.spoiled(path) {
			count(messages(document)) == 1
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["approvals", "clock_skew_seconds"] {
		section := {"approvals": "deployment", "clock_skew_seconds": "evidence"}[path]
		every wrong in [null, true, "1", [], {}] {
			profiles := documents.changed(examples.demanding, concat("/", ["standard", section, path]), wrong)
			count(approval.deny) == 1 with input as examples.full with data.interlock.profiles as profiles
		}
	}
}

# What does not count as somebody else's word for this model, each of it alone.
wrongs := {
	"the author": {"by": "alice"},
	"the author in other letters": {"by": " Alice "},
	"nobody": {"by": ""},
	"no key": {"keyid": ""},
	"another step": {"step": "training"},
	"another model": {"digest": {"sha256": examples.data_digest}},
	"expired": {"expires": "2026-11-23T12:00:00Z"},
	"not yet given": {"issued": "2026-11-23T12:01:01Z"},
	"a development key": {"dev": true},
}

test_what_does_not_count if {
	every wrong in wrongs {
		document := documents.changed(examples.full, "approvals", [object.union(examples.approval, wrong)])
		messages(document) == {
			`0 others than the author ("alice") approved this model; profile standard asks for 1`,
		}
	}
}

test_an_author_who_is_not_named_could_be_anybody if {
	every author in ["", " "] {
		messages(documents.changed(examples.full, "requested/author", author)) == {concat(" ", [
			"0 others than the author (not named, so that nobody is known to be another)",
			"approved this model; profile standard asks for 1",
		])}
	}
}

test_two_means_two_people_with_two_keys if {
	profiles := documents.changed(examples.demanding, "standard/deployment/approvals", 2)
	every second in [
		{"by": "bob", "keyid": "9a9a"},
		{"by": "BOB", "keyid": "9a9a"},
		{"by": "carol", "keyid": "7d1e"},
		{"by": "alice", "keyid": "9a9a"},
	] {
		document := examples.changed("approvals/-", object.union(examples.approval, second))
		count(approval.deny) == 1 with input as document with data.interlock.profiles as profiles
	}
	other := examples.changed("approvals/-", object.union(examples.approval, {"by": "carol", "keyid": "9a9a"}))
	approval.deny == set() with input as other with data.interlock.profiles as profiles
}

test_a_development_key_counts_in_the_profile_for_it if {
	document := examples.changed("approvals/0/dev", true)
	profiles := documents.changed(examples.demanding, "standard/evidence/accept_dev_receipts", true)
	approval.deny == set() with input as document with data.interlock.profiles as profiles
}

via(name) := object.union(examples.approval, {"by": name, "via": "airflow"})

test_a_gates_word_for_a_person_counts_while_policy_lists_them if {
	document := examples.changed("approvals", [via("bob")])
	profiles := examples.demanding
	approval.deny == set() with input as document
		with data.interlock.profiles as profiles
		with data.interlock.approvers.deployment as ["bob"]
	every listed in [[], ["BOB"], ["carol"], "bob", null, {"bob": "bob"}] {
		count(approval.deny) == 1 with input as document
			with data.interlock.profiles as profiles
			with data.interlock.approvers.deployment as listed
	}
}

test_a_gates_word_for_the_author_does_not_count if {
	document := examples.changed("approvals", [via("Alice")])
	count(approval.deny) == 1 with input as document
		with data.interlock.profiles as examples.demanding
		with data.interlock.approvers.deployment as ["Alice"]
}

test_what_vouches_for_a_name_must_be_text if {
	every wrong in [null, 7, {}] {
		document := examples.changed("approvals", [object.union(via("bob"), {"via": wrong})])
		count(approval.deny) == 1 with input as document
			with data.interlock.profiles as examples.demanding
			with data.interlock.approvers.deployment as ["bob"]
	}
}

test_two_people_before_one_gate_are_two_and_one_is_one if {
	profiles := documents.changed(examples.demanding, "standard/deployment/approvals", 2)
	both := examples.changed("approvals", [via("bob"), via("carol")])
	approval.deny == set() with input as both
		with data.interlock.profiles as profiles
		with data.interlock.approvers.deployment as ["bob", "carol"]
	every second in [via("bob"), examples.approval] {
		same := examples.changed("approvals", [via("bob"), second])
		count(approval.deny) == 1 with input as same
			with data.interlock.profiles as profiles
			with data.interlock.approvers.deployment as ["bob", "carol"]
	}
}
