# METADATA
# title: AdmissionReviews that are allowed
# description: The tests of the pack start from these; each carries what its kind needs and no more.
package interlock.kubernetes.examples_test

receipt := "01JDCMR2V7X3Q9Z8N4H6T5W1YB"

subject := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

other_receipt := "01JDCMR2V7X3Q9Z8N4H6T5W1YC"

image := "ghcr.io/acme/train@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

annotations := {"interlock.dev/receipt": receipt, "interlock.dev/subject-sha256": subject}

container := {
	"name": "main",
	"image": image,
	"resources": {"limits": {"cpu": "1"}},
	"securityContext": {
		"allowPrivilegeEscalation": false,
		"capabilities": {"drop": ["ALL"]},
		"readOnlyRootFilesystem": true,
		"runAsNonRoot": true,
		"runAsUser": 1000,
		"seccompProfile": {"type": "RuntimeDefault"},
	},
}

gpu_container := object.union(container, {"resources": {"limits": {"nvidia.com/gpu": "1"}}})

spec := {
	"automountServiceAccountToken": false,
	"containers": [container],
	"securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
	"volumes": [{"name": "work", "emptyDir": {}}],
}

gpu_spec := object.union(spec, {"containers": [gpu_container]})

pod(content) := {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it", "namespace": "ml"}, "spec": content}

gpu_pod := object.union(pod(gpu_spec), {"metadata": {"annotations": annotations}})

deployment := {
	"apiVersion": "apps/v1",
	"kind": "Deployment",
	"metadata": {"name": "it"},
	"spec": {"template": {"metadata": {"annotations": annotations}, "spec": gpu_spec}},
}

cron_job := {
	"apiVersion": "batch/v1",
	"kind": "CronJob",
	"metadata": {"name": "it"},
	"spec": {"jobTemplate": {"spec": {"template": {"metadata": {"annotations": annotations}, "spec": gpu_spec}}}},
}

train_job := {
	"apiVersion": "trainer.kubeflow.org/v1alpha1",
	"kind": "TrainJob",
	"metadata": {"name": "it", "annotations": annotations},
	"spec": {
		"runtimeRef": {"name": "torch-distributed", "kind": "ClusterTrainingRuntime"},
		"trainer": {"image": image, "numNodes": 2, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 4}}},
	},
}

waiting_train_job := json.remove(
	json.patch(train_job, [{"op": "add", "path": "spec/suspend", "value": true}]),
	["metadata/annotations"],
)

inference_service := {
	"apiVersion": "serving.kserve.io/v1beta1",
	"kind": "InferenceService",
	"metadata": {"name": "it", "annotations": annotations},
	"spec": {"predictor": {
		"automountServiceAccountToken": false,
		"model": {"modelFormat": {"name": "pytorch"}, "storageUri": "s3://models/it/"},
	}},
}

ray_cluster := {
	"apiVersion": "ray.io/v1",
	"kind": "RayCluster",
	"metadata": {"name": "it", "annotations": annotations},
	"spec": {"workerGroupSpecs": [{"template": {"spec": gpu_spec}}]},
}

review(manifest) := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"request": {
		"uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
		"kind": {
			"group": trim_suffix(concat("/", array.slice(parts, 0, count(parts) - 1)), "/"),
			"version": parts[count(parts) - 1],
			"kind": manifest.kind,
		},
		"operation": "CREATE",
		"userInfo": {"username": "alice"},
		"object": manifest,
		"oldObject": null,
	},
} if {
	parts := split(manifest.apiVersion, "/")
}

update(current, wanted) := object.union(review(wanted), {"request": {"operation": "UPDATE", "oldObject": current}})

manifests := {
	"pod": pod(spec),
	"gpu_pod": gpu_pod,
	"deployment": deployment,
	"cron_job": cron_job,
	"train_job": train_job,
	"waiting_train_job": waiting_train_job,
	"inference_service": inference_service,
	"ray_cluster": ray_cluster,
}

allowed[name] := review(manifest) if some name, manifest in manifests

test_group_and_version_are_taken_apart if {
	allowed.pod.request.kind == {"group": "", "version": "v1", "kind": "Pod"}
	allowed.train_job.request.kind.group == "trainer.kubeflow.org"
}
