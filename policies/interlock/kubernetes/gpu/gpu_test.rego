# METADATA
# title: Tests of who uses a GPU
package interlock.kubernetes.gpu_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.gpu

# Every way of asking that is known, as a change of a pod that does not ask.
ways := {
	"limits": {"path": "spec/containers/0/resources/limits/nvidia.com~1gpu", "value": "1"},
	"limits as a number": {"path": "spec/containers/0/resources/limits/nvidia.com~1gpu", "value": 1},
	"requests": {"path": "spec/containers/0/resources/requests", "value": {"nvidia.com/gpu": "1"}},
	"a MIG slice": {"path": "spec/containers/0/resources/limits/nvidia.com~1mig-1g.10gb", "value": "1"},
	"a shared GPU": {"path": "spec/containers/0/resources/limits/nvidia.com~1gpu.shared", "value": "1"},
	"AMD": {"path": "spec/containers/0/resources/limits/amd.com~1gpu", "value": "1"},
	"an init container": {
		"path": "spec/initContainers",
		"value": [{"name": "i", "resources": {"limits": {"nvidia.com/gpu": 1}}}],
	},
	"an ephemeral container": {
		"path": "spec/ephemeralContainers",
		"value": [{"name": "e", "resources": {"requests": {"nvidia.com/gpu": 1}}}],
	},
	"the pod as a whole": {"path": "spec/resources", "value": {"limits": {"nvidia.com/gpu": 1}}},
	"a claim": {"path": "spec/resourceClaims", "value": [{"name": "gpu", "resourceClaimTemplateName": "one"}]},
	"claims of a wrong type": {"path": "spec/resourceClaims", "value": {"name": "gpu"}},
	"a device class as a resource": {
		"path": "spec/containers/0/resources/limits/deviceclass.resource.kubernetes.io~1gpu",
		"value": "1",
	},
	"a runtime class": {"path": "spec/runtimeClassName", "value": "nvidia"},
	"the variable": {"path": "spec/containers/0/env", "value": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]},
	"the variable from elsewhere": {
		"path": "spec/containers/0/env",
		"value": [{"name": "NVIDIA_VISIBLE_DEVICES", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
	},
	"an annotation for the container runtime": {
		"path": "metadata/annotations",
		"value": {"cdi.k8s.io/gpu": "nvidia.com/gpu=all"},
	},
	"a quantity of a wrong type": {"path": "spec/containers/0/resources/limits/nvidia.com~1gpu", "value": null},
}

test_every_way_of_asking_is_seen if {
	plain := examples.pod(examples.spec)
	seen := {name |
		some name, way in ways
		count(gpu.uses(json.patch(plain, [object.union({"op": "add"}, way)]))) == 1
	} with input as examples.allowed.pod
	seen == object.keys(ways)
}

test_who_does_not_ask_is_left_alone if {
	plain := examples.pod(examples.spec)
	harmless := [
		{"path": "spec/containers/0/resources/limits/nvidia.com~1gpu", "value": "0"},
		{"path": "spec/containers/0/resources/limits/nvidia.com~1gpu", "value": 0},
		{"path": "spec/containers/0/resources/limits/ephemeral-storage", "value": "1Gi"},
		{"path": "spec/containers/0/resources/limits/example.com~1fpga", "value": "1"},
		{"path": "spec/nodeSelector", "value": {"nvidia.com/gpu.present": "true"}},
		{"path": "spec/resourceClaims", "value": []},
		{"path": "spec/runtimeClassName", "value": "gvisor"},
		{"path": "spec/containers/0/env", "value": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]},
		{"path": "spec/containers/0/env", "value": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "none"}]},
		{"path": "metadata/labels", "value": {"nvidia.com/gpu": "1"}},
	]
	seen := {way |
		some way in harmless
		count(gpu.uses(json.patch(plain, [object.union({"op": "add"}, way)]))) > 0
	} with input as examples.allowed.pod
	seen == set()
}

test_where_the_profile_does_not_say_what_a_gpu_is_every_named_resource_is_one if {
	every wrong in [null, 7, {}, [], "nvidia.com/gpu", [7]] {
		profiles := {"standard": {"kubernetes": {"gpu_resources": wrong}}}
		count(gpu.uses(examples.gpu_pod)) == 1 with input as examples.allowed.gpu_pod
			with data.interlock.profiles as profiles
	}
}
