# METADATA
# title: Tests of admission
package interlock.kubernetes.admission_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.admission
import data.interlock.kubernetes.examples_test as examples

test_every_example_is_allowed if {
	every review in examples.allowed {
		admission.allow with input as review
		admission.response.response.allowed with input as review
		admission.response.response.uid == review.request.uid with input as review
		not admission.response.response.status with input as review
	}
}

test_who_was_only_asked_for_the_form_is_told_so if {
	count(admission.response.response.warnings) == 1 with input as examples.allowed.gpu_pod
	admission.response.response.warnings == [] with input as examples.allowed.pod
}

test_a_refusal_says_why if {
	refused := examples.review(json.remove(examples.gpu_pod, ["metadata/annotations"]))
	admission.response == {
		"apiVersion": "admission.k8s.io/v1",
		"kind": "AdmissionReview",
		"response": {
			"uid": refused.request.uid,
			"allowed": false,
			"warnings": [],
			"status": {
				"code": 403,
				"reason": "Forbidden",
				"message": concat(" ", [
					"interlock: [kubernetes.receipt] Pod it needs a receipt",
					"(spec.containers.0.resources.limits.nvidia.com/gpu: 1):",
					"it carries no annotations interlock.dev/receipt and interlock.dev/subject-sha256 in their form",
					"(profile standard)",
				]),
			},
		},
	} with input as refused
}

test_reasons_of_every_rule_arrive if {
	ids := {reason.id |
		some review in [
			{},
			examples.review(json.remove(examples.gpu_pod, ["metadata/annotations"])),
			examples.review(examples.pod(object.union(examples.spec, {"hostPID": true}))),
			examples.update(examples.gpu_pod, examples.pod(examples.spec)),
			examples.update(
				examples.inference_service,
				documents.changed(examples.inference_service, "spec/predictor/model/storageUri", "s3://models/b/"),
			),
			examples.review(object.union(
				examples.inference_service,
				{"spec": {"explainer": {"model": {"storageUri": "s3://models/b/"}}}},
			)),
		]
		some reason in admission.deny with input as review
	}
	ids == {
		"kubernetes.review",
		"kubernetes.receipt",
		"kubernetes.pod-security",
		"kubernetes.receipt-removed",
		"kubernetes.same-receipt",
		"kubernetes.one-model",
	}
}

test_what_is_no_review_is_refused if {
	every wrong in [{}, null, [], "AdmissionReview", 7, {"request": {"uid": 7}}, documents.deployment_guard] {
		not admission.allow with input as wrong
		admission.response.response.allowed == false with input as wrong
		admission.response.response.uid == "" with input as wrong
		count(admission.deny) > 0 with input as wrong
	}
}

test_a_deletion_is_allowed if {
	deletion := object.union(examples.allowed.gpu_pod, {"request": {"operation": "DELETE", "object": null}})
	admission.response.response.allowed with input as deletion
}

test_a_long_refusal_is_cut if {
	containers := [{"name": sprintf("c%d", [number])} | some number in numbers.range(1, 40)]
	refused := examples.review(examples.pod(object.union(examples.spec, {"containers": containers})))
	count(admission.response.response.status.message) == 4000 with input as refused
}

test_the_strict_profile_admits_nothing_by_form_alone if {
	not admission.allow with input as examples.allowed.gpu_pod
		with data.interlock.kubernetes.settings.profile as "strict"
}
