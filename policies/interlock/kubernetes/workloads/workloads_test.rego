# METADATA
# title: Tests of what objects run
package interlock.kubernetes.workloads_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.workloads

test_pods_are_found_in_every_kind if {
	{name: {place | some [place, _] in workloads.specs(manifest)} | some name, manifest in examples.manifests} == {
		"pod": {"spec"},
		"gpu_pod": {"spec"},
		"deployment": {"spec.template.spec"},
		"cron_job": {"spec.jobTemplate.spec.template.spec"},
		"train_job": set(),
		"waiting_train_job": set(),
		"inference_service": set(),
		"ray_cluster": {"spec.workerGroupSpecs.0.template.spec"},
	}
}

test_a_known_kind_has_a_specification_even_without_one if {
	every manifest in [
		json.remove(examples.gpu_pod, ["spec"]),
		json.remove(examples.deployment, ["spec/template"]),
		json.patch(examples.deployment, [{"op": "replace", "path": "spec/template", "value": null}]),
		json.patch(examples.deployment, [{"op": "replace", "path": "spec", "value": []}]),
	] {
		{spec | some [_, spec] in workloads.specs(manifest)} == {null}
	}
}

test_annotations_are_those_of_the_pods if {
	every name in ["gpu_pod", "deployment", "cron_job", "train_job", "inference_service", "ray_cluster"] {
		workloads.annotations(examples.manifests[name]) == examples.annotations
	}
	outside := json.patch(json.remove(examples.deployment, ["spec/template/metadata"]), [{
		"op": "add",
		"path": "metadata/annotations",
		"value": examples.annotations,
	}])
	workloads.annotations(outside) == {}
}

test_only_a_map_has_annotations_and_whatever_is_in_it_is_seen if {
	every wrong in [null, 7, "a", [], ["interlock.dev/receipt"]] {
		changed := json.patch(examples.gpu_pod, [{"op": "replace", "path": "metadata/annotations", "value": wrong}])
		workloads.annotations(changed) == {}
	}
	mixed := json.patch(examples.gpu_pod, [{
		"op": "replace",
		"path": "metadata/annotations",
		"value": {"a": 7, "b": null, "c": "d"},
	}])
	workloads.annotations(mixed) == {"a": 7, "b": null, "c": "d"}
}

test_the_pods_of_an_inference_service_are_labelled_with_its_name if {
	workloads.labels(examples.inference_service) == {"serving.kserve.io/inferenceservice": "it"}
	workloads.labels(examples.gpu_pod) == {}
	workloads.labels(json.remove(examples.inference_service, ["metadata/name"])) == {}
}

test_a_kind_needs_both_its_names if {
	workloads.kind(examples.gpu_pod) == "/Pod"
	every field in ["kind", "apiVersion"] {
		not workloads.kind(json.remove(examples.gpu_pod, [field]))
		not workloads.kind(json.patch(examples.gpu_pod, [{"op": "replace", "path": field, "value": 7}]))
	}
}

test_containers_of_all_three_kinds_are_found if {
	spec := {"containers": [1, 2], "initContainers": [3], "ephemeralContainers": [4]}
	workloads.containers(spec) == {
		["containers[0]", 1],
		["containers[1]", 2],
		["initContainers[0]", 3],
		["ephemeralContainers[0]", 4],
	}
}
