# METADATA
# title: Tests of the receipts that objects name
package interlock.kubernetes.claims_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.claims
import data.interlock.kubernetes.examples_test as examples

# 2026-11-23T12:00:00Z
now := 1795435200000000000

known := {examples.receipt: {
	"verdict": "ALLOW",
	"stage": "guard",
	"gate": "training",
	"subject": examples.subject,
	"expires": "2026-11-24T11:00:00.000000Z",
}}

strict := documents.changed(data.interlock.profiles, "standard/kubernetes/receipts", "known")

test_a_known_receipt_opens if {
	claims.problem(examples.gpu_pod) == "" with input as examples.allowed.gpu_pod
		with data.interlock.profiles as strict
		with data.interlock_admission.receipts as known
		with time.now_ns as now
}

test_every_field_of_a_known_receipt_must_be_there_with_its_type if {
	every field in ["verdict", "stage", "gate", "subject", "expires"] {
		every receipts in documents.spoiled(known, concat("/", [examples.receipt, field])) {
			problem := claims.problem(examples.gpu_pod) with input as examples.allowed.gpu_pod
				with data.interlock.profiles as strict
				with data.interlock_admission.receipts as receipts
				with time.now_ns as now
			contains(problem, "is not known here")
		}
	}
}

test_a_receipt_that_does_not_speak_for_it_opens_nothing if {
	every change in [
		{"verdict": "DENY"},
		{"stage": "gate"},
		{"gate": "artifact-scan"},
		{"subject": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
		{"expires": "2026-11-23T12:00:00Z"},
	] {
		receipts := object.union(known, {examples.receipt: change})
		problem := claims.problem(examples.gpu_pod) with input as examples.allowed.gpu_pod
			with data.interlock.profiles as strict
			with data.interlock_admission.receipts as receipts
			with time.now_ns as now
		contains(problem, "is not known here")
	}
}

test_a_receipt_of_training_does_not_open_serving if {
	problem := claims.problem(examples.inference_service) with input as examples.allowed.inference_service
		with data.interlock.profiles as strict
		with data.interlock_admission.receipts as known
		with time.now_ns as now
	contains(problem, "is not known here")
	promoted := object.union(known, {examples.receipt: {"gate": "deployment"}})
	claims.problem(examples.inference_service) == "" with input as examples.allowed.inference_service
		with data.interlock.profiles as strict
		with data.interlock_admission.receipts as promoted
		with time.now_ns as now
}

test_without_the_document_no_receipt_is_known if {
	problem := claims.problem(examples.gpu_pod) with input as examples.allowed.gpu_pod
		with data.interlock.profiles as strict
	contains(problem, "is not known here")
}

test_a_profile_that_does_not_say_how_receipts_are_checked_accepts_none if {
	every profiles in documents.profiles_without("standard/kubernetes/receipts") {
		problem := claims.problem(examples.gpu_pod) with input as examples.allowed.gpu_pod
			with data.interlock.profiles as profiles
		contains(problem, "is not known here")
	}
}

test_annotations_have_a_form if {
	every change in [
		{"interlock.dev/receipt": ""},
		{"interlock.dev/receipt": "yes"},
		{"interlock.dev/receipt": "91JDCMR2V7X3Q9Z8N4H6T5W1YB"},
		{"interlock.dev/receipt": "01JDCMR2V7X3Q9Z8N4H6T5W1YB\n"},
		{"interlock.dev/receipt": lower(examples.receipt)},
		{"interlock.dev/subject-sha256": ""},
		{"interlock.dev/subject-sha256": upper(examples.subject)},
		{"interlock.dev/subject-sha256": substring(examples.subject, 0, 63)},
		{"interlock.dev/subject-sha256": concat("", ["sha256:", examples.subject])},
		{"interlock.dev/subject-sha256": 7},
		{"interlock.dev/receipt": 7},
	] {
		manifest := object.union(examples.gpu_pod, {"metadata": {"annotations": change}})
		problem := claims.problem(manifest) with input as examples.allowed.gpu_pod
		contains(problem, "carries no annotations")
	}
}

test_who_needs_a_receipt if {
	every name in ["gpu_pod", "deployment", "cron_job", "train_job", "inference_service", "ray_cluster"] {
		count(claims.causes(examples.manifests[name])) > 0 with input as examples.allowed.pod
	}
	every name in ["pod", "waiting_train_job"] {
		claims.causes(examples.manifests[name]) == set() with input as examples.allowed.pod
	}
}

test_a_service_of_language_models_needs_one if {
	manifest := object.union(examples.inference_service, {"kind": "LLMInferenceService"})
	claims.causes(manifest) == {"it serves a model"} with input as examples.allowed.pod
}

test_a_train_job_waits_only_when_it_says_so if {
	every waits in [false, null, "true", 1, []] {
		manifest := documents.changed(examples.waiting_train_job, "spec/suspend", waits)
		count(claims.causes(manifest)) > 0 with input as examples.allowed.pod
	}
}

test_what_runs_nothing_needs_none if {
	runtime := object.union(examples.ray_cluster, {
		"apiVersion": "trainer.kubeflow.org/v1alpha1",
		"kind": "TrainingRuntime",
	})
	claims.causes(runtime) == set() with input as examples.allowed.pod
	every profiles in documents.profiles_without("standard/kubernetes/templates") {
		count(claims.causes(runtime)) > 0 with input as examples.allowed.pod with data.interlock.profiles as profiles
	}
}

test_a_kind_of_another_group_is_not_taken_for_one_that_runs_nothing if {
	runtime := object.union(examples.ray_cluster, {"apiVersion": "evil.example/v1", "kind": "TrainingRuntime"})
	count(claims.causes(runtime)) > 0 with input as examples.allowed.pod
}

looked_up := object.union(known, {examples.receipt: {"problem": "", "dev": false}})

asked(receipts) := object.union(examples.allowed.gpu_pod, {"receipts": receipts})

answer(receipts) := problem if {
	# regal ignore:with-outside-test-context
	problem := claims.problem(examples.gpu_pod) with input as asked(receipts) with time.now_ns as now
}

test_a_receipt_that_was_looked_up_opens if answer(looked_up) == ""

test_a_profile_that_takes_the_form_does_not_when_somebody_looked if {
	contains(answer({}), "is not known here")
	contains(answer(null), "is not known here")
	contains(answer([]), "is not known here")
}

test_every_field_of_a_receipt_that_was_looked_up_must_be_there_with_its_type if {
	every field in ["verdict", "stage", "gate", "subject", "expires", "dev", "problem"] {
		every receipts in documents.spoiled(looked_up, concat("/", [examples.receipt, field])) {
			answer(receipts) != ""
		}
	}
}

test_the_reason_why_it_does_not_open_is_told if {
	receipts := {examples.receipt: {"problem": "expired at 2026-11-23T12:00:00Z"}}
	contains(answer(receipts), "does not open it: expired at")
}

test_receipts_in_the_data_do_not_count_when_somebody_looked if {
	problem := claims.problem(examples.gpu_pod) with input as asked({})
		with data.interlock_admission.receipts as known
		with time.now_ns as now
	contains(problem, "is not known here")
}

test_a_development_key_counts_where_the_profile_says_so if {
	receipts := object.union(looked_up, {examples.receipt: {"dev": true}})
	contains(answer(receipts), "is not known here")
	lenient := documents.changed(data.interlock.profiles, "standard/evidence/accept_dev_receipts", true)
	problem := claims.problem(examples.gpu_pod) with input as asked(receipts)
		with data.interlock.profiles as lenient
		with time.now_ns as now
	problem == ""
}
