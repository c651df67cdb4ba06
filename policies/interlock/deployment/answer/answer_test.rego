# METADATA
# title: Tests of deployment.answer
package interlock.deployment.answer_test

import data.interlock.deployment.answer
import data.interlock.examples_test as documents

approvers := {"deployment": ["bob", "Carol"], "training": []}

facts := {"approval": {
	"step": "deployment",
	"choice": "approved",
	"asked": {"sha256": documents.digest},
	"by": {"id": "7", "name": "bob"},
	"answered": "2026-11-23T11:59:00.000000Z",
	"behind": {"known": true, "names": ["alice"]},
	"via": "airflow",
	"record": "https://airflow.example/api/v2/dags/retrain/dagRuns/1/taskInstances/approve/-1/hitlDetails",
}}

gate := documents.document("gate", "approval", {}, [], [], {})

full := json.patch(gate, [{"op": "add", "path": "report/facts", "value": facts}])

changed(path, value) := documents.changed(full, path, value)

ids(document) := {reason.id |
	# regal ignore:with-outside-test-context,external-reference
	some reason in answer.deny with input as document with data.interlock.approvers as approvers
}

test_a_listed_person_other_than_who_started_it_may_approve if {
	ids(full) == set()
	answer.applies with input as full
	data.interlock.decision.allow with input as object.union(full, {"exemptions": [], "approvals": [], "lineage": []})
		with data.interlock.approvers as approvers
}

test_a_run_that_nobody_started_by_hand_may_be_approved if {
	ids(changed("report/facts/approval/behind/names", [])) == set()
}

test_nobody_may_approve_by_default if {
	{reason.id | some reason in answer.deny} == {"deployment.answer-person"} with input as full
}

test_every_field_read_must_be_there_with_its_type if {
	every path, denied in {
		"report/facts": {
			"deployment.answer-no",
			"deployment.answer-bytes",
			"deployment.answer-person",
			"deployment.answer-own",
		},
		"report/facts/approval": {
			"deployment.answer-no",
			"deployment.answer-bytes",
			"deployment.answer-person",
			"deployment.answer-own",
		},
		"report/facts/approval/choice": {"deployment.answer-no"},
		"report/facts/approval/asked": {"deployment.answer-bytes"},
		"report/facts/approval/asked/sha256": {"deployment.answer-bytes"},
		"subject/digest/sha256": {"deployment.answer-bytes"},
		"report/facts/approval/step": {"deployment.answer-person"},
		"report/facts/approval/by": {"deployment.answer-person", "deployment.answer-own"},
		"report/facts/approval/by/name": {"deployment.answer-person", "deployment.answer-own"},
		"report/facts/approval/behind": {"deployment.answer-own"},
		"report/facts/approval/behind/known": {"deployment.answer-own"},
		"report/facts/approval/behind/names": {"deployment.answer-own"},
	} {
		every document in documents.spoiled(full, path) {
			ids(document) == denied
		}
	}
}

# What is no approval, each of it alone, and the rule that says so.
wrongs := {
	"rejected": {"path": "choice", "value": "rejected", "id": "deployment.answer-no"},
	"timed out": {"path": "choice", "value": "none", "id": "deployment.answer-no"},
	"an answer that was not offered": {"path": "choice", "value": "other", "id": "deployment.answer-no"},
	"other bytes": {"path": "asked/sha256", "value": "aa", "id": "deployment.answer-bytes"},
	"somebody not listed": {"path": "by/name", "value": "mallory", "id": "deployment.answer-person"},
	"a name in other letters": {"path": "by/name", "value": "Bob", "id": "deployment.answer-person"},
	"the id of somebody listed": {"path": "by", "value": {"id": "bob", "name": "m"}, "id": "deployment.answer-person"},
	"another step": {"path": "step", "value": "training", "id": "deployment.answer-person"},
	"no step at all": {"path": "step", "value": "everything", "id": "deployment.answer-person"},
	"who started it": {"path": "behind/names", "value": ["bob"], "id": "deployment.answer-own"},
	"who started it in other letters": {"path": "behind/names", "value": ["a", " BOB "], "id": "deployment.answer-own"},
	"a starter without a name": {"path": "behind/names", "value": [null], "id": "deployment.answer-own"},
	"nobody knows who started it": {"path": "behind/known", "value": false, "id": "deployment.answer-own"},
}

test_what_is_no_approval if {
	every wrong in wrongs {
		document := changed(concat("/", ["report/facts/approval", wrong.path]), wrong.value)
		ids(document) == {wrong.id}
	}
}

test_an_answer_that_the_record_gives_to_nobody_counts_for_nothing if {
	document := changed("report/facts/approval/by", null)
	messages := {reason.message |
		some reason in answer.deny with input as document
			with data.interlock.approvers as approvers
	}
	messages == {
		"nobody whom the record names may not approve a deployment: data.interlock.approvers does not list them",
		`nobody whom the record names is not known to be another than who set the run going (["alice"])`,
	}
}

test_a_list_of_another_shape_lists_nobody if {
	every wrong in [null, "bob", {"bob": "bob"}, 7] {
		count(answer.deny) == 1 with input as full with data.interlock.approvers as {"deployment": wrong}
	}
}

test_other_gates_are_not_asked if {
	answer.deny == set() with input as documents.artifact
	answer.deny == set() with input as documents.deployment_guard
}
