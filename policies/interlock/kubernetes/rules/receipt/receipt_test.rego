# METADATA
# title: Tests of kubernetes.receipt
package interlock.kubernetes.rules.receipt_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.rules.receipt

test_the_examples_pass if {
	every review in examples.allowed {
		receipt.deny == set() with input as review
	}
}

test_without_annotations_they_are_refused if {
	every name in ["gpu_pod", "train_job", "inference_service", "ray_cluster"] {
		manifest := json.remove(examples.manifests[name], ["metadata/annotations"])
		{reason.id | some reason in receipt.deny} == {"kubernetes.receipt"} with input as examples.review(manifest)
	}
	{reason.message | some reason in receipt.deny} == {concat(" ", [
		"Pod it needs a receipt (spec.containers.0.resources.limits.nvidia.com/gpu: 1):",
		"it carries no annotations interlock.dev/receipt and interlock.dev/subject-sha256 in their form",
		"(profile standard)",
	])} with input as examples.review(json.remove(examples.gpu_pod, ["metadata/annotations"]))
}

test_annotations_of_a_deployment_itself_do_not_reach_its_pods if {
	manifest := json.patch(json.remove(examples.deployment, ["spec/template/metadata"]), [{
		"op": "add",
		"path": "metadata/annotations",
		"value": examples.annotations,
	}])
	count(receipt.deny) == 1 with input as examples.review(manifest)
}

test_a_train_job_may_not_go_on_without_a_receipt if {
	waiting := examples.waiting_train_job
	going := json.patch(waiting, [{"op": "replace", "path": "spec/suspend", "value": false}])
	count(receipt.deny) == 1 with input as examples.update(waiting, going)
	receipt.deny == set() with input as examples.update(waiting, examples.train_job)
}
