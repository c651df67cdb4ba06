# METADATA
# title: Tests of kubernetes.receipt-removed and kubernetes.same-receipt
package interlock.kubernetes.rules.change_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.rules.change

other := {"metadata": {"annotations": {"interlock.dev/receipt": examples.other_receipt}}}

ids(current, wanted) := {reason.id |
	# regal ignore:with-outside-test-context
	some reason in change.deny with input as examples.update(current, wanted)
}

test_nothing_changes if {
	every manifest in examples.manifests {
		ids(manifest, manifest) == set()
	}
	change.deny == set() with input as examples.allowed.gpu_pod
}

test_a_receipt_stays if {
	every name in ["gpu_pod", "train_job", "inference_service", "ray_cluster"] {
		manifest := examples.manifests[name]
		ids(manifest, json.remove(manifest, ["metadata/annotations"])) == {"kubernetes.receipt-removed"}
		every annotation in ["interlock.dev~1receipt", "interlock.dev~1subject-sha256"] {
			without := json.remove(manifest, [concat("/", ["metadata/annotations", annotation])])
			ids(manifest, without) == {"kubernetes.receipt-removed"}
		}
	}
}

test_a_running_pod_gets_no_other_receipt if {
	ids(examples.gpu_pod, object.union(examples.gpu_pod, other)) == {"kubernetes.receipt-removed"}
}

test_a_service_may_get_another_receipt_with_another_model if {
	promoted := documents.changed(
		object.union(examples.inference_service, other),
		"spec/predictor/model/storageUri",
		"s3://models/next/",
	)
	ids(examples.inference_service, promoted) == set()
}

test_nothing_else_runs_under_the_same_receipt if {
	every attack in [
		["gpu_pod", "spec/containers/0/image", "ghcr.io/acme/other"],
		["gpu_pod", "spec/ephemeralContainers", [{"name": "debug", "image": examples.image}]],
		["deployment", "spec/template/spec/containers/0/command", ["sh"]],
		["deployment", "spec/template/spec/containers/0/env", [{"name": "MODEL", "value": "other"}]],
		["train_job", "spec/trainer/image", "ghcr.io/acme/other"],
		["train_job", "spec/trainer/command", ["sh"]],
		["train_job", "spec/runtimeRef", {"name": "other"}],
		["train_job", "spec/initializer", {"dataset": {"storageUri": "s3://other/"}}],
		["inference_service", "spec/predictor/model/storageUri", "s3://models/other/"],
		["inference_service", "spec/predictor/model/storage", {"path": "other"}],
	] {
		manifest := examples.manifests[attack[0]]
		changed := json.patch(manifest, [{"op": "add", "path": attack[1], "value": attack[2]}])
		ids(manifest, changed) == {"kubernetes.same-receipt"}
		ids(changed, manifest) == {"kubernetes.same-receipt"}
	}
}

test_a_waiting_train_job_may_not_change_under_its_receipt if {
	waiting := json.patch(examples.train_job, [{"op": "add", "path": "spec/suspend", "value": true}])
	changed := documents.changed(waiting, "spec/trainer/image", "ghcr.io/acme/other")
	ids(waiting, changed) == {"kubernetes.same-receipt"}
	ids(waiting, examples.train_job) == set()
}

test_numbers_are_no_content if {
	scaled := json.patch(examples.inference_service, [{"op": "add", "path": "spec/predictor/minReplicas", "value": 3}])
	ids(examples.inference_service, scaled) == set()
}
