# METADATA
# title: Who uses a GPU
# description: |-
#   Every way of asking that an object can show: extended resources under any name and at any depth, claims of dynamic
#   resource allocation, a runtime class for GPUs, the environment variable and the annotations by which a container
#   runtime hands out devices without counting them. What the image or the runtime's defaults ask for is not to be seen.
package interlock.kubernetes.gpu

import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.workloads

# METADATA
# title: How an object asks for GPUs
# description: Texts; empty when it does not ask.
uses(manifest) := union({
	resources(manifest),
	claims(manifest),
	runtime_classes(manifest),
	variables(manifest),
	devices(manifest),
})

# METADATA
# title: Resources that are counted
# description: A GPU resource with any quantity but zero, wherever it stands.
resources(manifest) := {sprintf("%v: %v", [workloads.place(path), value]) |
	some [path, key, value] in workloads.fields(manifest)
	is_gpu(key)
	not zero(value)
}

# METADATA
# title: Whether a resource is a GPU
# description: By the expressions of the profile; where one of them cannot be read every resource with a domain is one.
is_gpu(resource) if not other(resource)

# METADATA
# title: Whether a field is surely no GPU
# description: Extended resources have a domain in their name. Undefined unless no expression matches it.
# scope: document
other(resource) if {
	contains(resource, "/") == false
}

other(resource) if {
	expressions := parameters.names("kubernetes", "gpu_resources")
	count(expressions) > 0
	every expression in expressions {
		regex.match(sprintf("^(?:%s)$", [expression]), resource) == false
	}
}

# METADATA
# title: Whether a quantity is nothing
# description: Undefined for every other value.
# scope: document
zero(0)

zero("0")

# METADATA
# title: Claims of devices
# description: What a claim asks for is in another object; every claim counts.
claims(manifest) := {sprintf("%v: %v", [workloads.place(path), value]) |
	some [path, "resourceClaims", value] in workloads.fields(manifest)
	not none(value)
}

# METADATA
# title: Whether a list of claims is empty
# description: Undefined for everything else.
none([])

# METADATA
# title: Runtime classes for GPUs
# description: They may hand out devices that nobody asked for.
runtime_classes(manifest) := {sprintf("%v: %v", [workloads.place(path), value]) |
	some [path, "runtimeClassName", value] in workloads.fields(manifest)
	value in parameters.names("kubernetes", "gpu_runtime_classes")
}

# METADATA
# title: The variable that asks the NVIDIA runtime for devices
# description: Set in the object; one that comes from the image or from a ConfigMap is not to be seen.
variables(manifest) := {sprintf("NVIDIA_VISIBLE_DEVICES: %v", [shown]) |
	walk(workloads.wanted(manifest), [_, variable])
	is_object(variable)
	variable.name == "NVIDIA_VISIBLE_DEVICES"
	shown := object.get(variable, "value", "(from elsewhere)")
	not nothing(shown)
}

# METADATA
# title: Whether a value of that variable asks for no device
# description: Undefined for every other value.
# scope: document
nothing("none")

nothing("void")

# METADATA
# title: Annotations by which a container runtime injects devices
# description: The container device interface takes them from the pod.
devices(manifest) := {sprintf("annotation %v", [key]) |
	some key, _ in workloads.annotations(manifest)
	startswith(key, "cdi.k8s.io/")
}
