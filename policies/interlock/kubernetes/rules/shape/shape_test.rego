# METADATA
# title: Tests of kubernetes.review
package interlock.kubernetes.rules.shape_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.rules.shape

test_the_examples_pass if {
	every review in examples.allowed {
		shape.deny == set() with input as review
	}
	shape.deny == set() with input as examples.update(examples.gpu_pod, examples.gpu_pod)
}

test_every_field_read_must_be_there_with_its_type if {
	every review in [examples.allowed.gpu_pod, examples.update(examples.gpu_pod, examples.gpu_pod)] {
		every path in [
			"apiVersion",
			"kind",
			"request",
			"request/uid",
			"request/kind",
			"request/kind/group",
			"request/kind/version",
			"request/kind/kind",
			"request/operation",
			"request/object",
			"request/object/apiVersion",
			"request/object/kind",
		] {
			every spoiled in documents.spoiled(review, path) {
				count(shape.deny) == 1 with input as spoiled
			}
		}
	}
}

test_annotations_must_be_texts if {
	every annotations in [null, true, 7, "a", [], {"a": null}, {"a": true}, {"a": 7}, {"a": []}, {"a": {}}] {
		manifest := json.patch(examples.gpu_pod, [{
			"op": "replace",
			"path": "metadata/annotations",
			"value": annotations,
		}])
		count(shape.deny) == 1 with input as examples.review(manifest)
	}
}

# An object is as readable without annotations as with them.
readable(review, path) := {documents.changed(review, path, metadata) | some metadata in [{}, {"text": 1}]}

test_metadata_must_be_readable if {
	review := examples.update(examples.gpu_pod, examples.gpu_pod)
	every path in ["request/object/metadata", "request/oldObject", "request/oldObject/metadata"] {
		every spoiled in documents.spoiled(review, path) - readable(review, path) {
			count(shape.deny) == 1 with input as spoiled
		}
	}
}

test_other_versions_and_operations_are_refused if {
	every change in [
		{"apiVersion": "admission.k8s.io/v1beta1"},
		{"kind": "Review"},
		{"request": {"operation": "CONNECT"}},
		{"request": {"operation": "create"}},
		{"request": {"uid": ""}},
		{"request": {"kind": {"kind": "Service"}}},
		{"request": {"kind": {"group": "apps"}}},
		{"request": {"object": {"kind": "Service"}}},
	] {
		reasons := shape.deny with input as object.union(examples.allowed.gpu_pod, change)
		{reason.id | some reason in reasons} == {"kubernetes.review"}
	}
}

test_an_unknown_profile_refuses if {
	{reason.message | some reason in shape.deny} == {concat(" ", [
		"not an AdmissionReview (admission.k8s.io/v1) of CREATE, UPDATE or DELETE",
		"that can be judged by profile relaxed",
	])} with input as examples.allowed.pod with data.interlock.kubernetes.settings.profile as "relaxed"
}

test_a_deletion_needs_no_object if {
	deletion := object.union(examples.allowed.pod, {"request": {"operation": "DELETE", "object": null}})
	shape.deny == set() with input as deletion
}
