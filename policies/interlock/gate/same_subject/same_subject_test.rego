# METADATA
# title: Tests of gate.same_subject
package interlock.gate.same_subject_test

import data.interlock.examples_test as examples
import data.interlock.gate.same_subject

test_the_example_passes if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		same_subject.deny == set() with input as examples.allowed[name]
	}
}

test_a_report_on_other_bytes_is_denied if {
	changed := examples.changed(examples.validation, "report/subject/digest/sha256", "0000")
	{[reason.id, reason.message] | some reason in same_subject.deny} == {[
		"gate.same-subject",
		concat("", [
			"asked about data-validation of sha256 ",
			"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, but the report is ",
			"data-validation of sha256 0000",
		]),
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		every path in [
			"gate",
			"subject",
			"subject/digest",
			"subject/digest/sha256",
			"report",
			"report/gate",
			"report/subject",
			"report/subject/digest",
			"report/subject/digest/sha256",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(same_subject.deny) > 0 with input as document
			}
		}
	}
}

test_two_malformed_digests_are_denied_though_equal if {
	changed := json.patch(examples.validation, [
		{"op": "replace", "path": "subject/digest/sha256", "value": "x"},
		{"op": "replace", "path": "report/subject/digest/sha256", "value": "x"},
	])
	count(same_subject.deny) == 1 with input as changed
}
