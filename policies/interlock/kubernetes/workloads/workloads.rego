# METADATA
# title: What an object of Kubernetes runs
# description: |-
#   Finds the pod specifications in an object, and the metadata that its pods get. For the kinds that Kubernetes itself
#   has the place is known; in every other kind each object with a list of containers counts as one.
package interlock.kubernetes.workloads

# METADATA
# title: Where the pod template lies
# description: By group and kind, for the kinds of Kubernetes that run pods.
templates := {
	"apps/DaemonSet": ["spec", "template"],
	"apps/Deployment": ["spec", "template"],
	"apps/ReplicaSet": ["spec", "template"],
	"apps/StatefulSet": ["spec", "template"],
	"batch/CronJob": ["spec", "jobTemplate", "spec", "template"],
	"batch/Job": ["spec", "template"],
	"/PodTemplate": ["template"],
	"/ReplicationController": ["spec", "template"],
}

# METADATA
# title: Kinds whose containers are completed by their controller
# description: |-
#   Their containers are patches and are joined with a runtime's; the pods that come out of it are what is checked for
#   completeness.
partial := {
	"serving.kserve.io/ClusterServingRuntime",
	"serving.kserve.io/ServingRuntime",
	"trainer.kubeflow.org/ClusterTrainingRuntime",
	"trainer.kubeflow.org/TrainJob",
	"trainer.kubeflow.org/TrainingRuntime",
}

# METADATA
# title: Group and kind of an object
# description: As in `apps/Deployment` and `/Pod`; undefined unless the object names both.
kind(manifest) := name if {
	is_string(manifest.kind)
	is_string(manifest.apiVersion)
	name := concat("/", [group(manifest.apiVersion), manifest.kind])
}

# METADATA
# title: Group of an API version
# description: Empty for the core group.
group(version) := array.slice(split(version, "/"), 0, 1)[0] if {
	contains(version, "/")
} else := ""

# METADATA
# title: The part of an object that says what is wanted
# description: All but what names it and what the cluster says of it.
wanted(manifest) := json.remove(manifest, ["metadata", "status"])

# METADATA
# title: The object that its pods are made from
# description: The pod itself, the template of a known kind, and else the whole object.
template(manifest) := manifest if {
	kind(manifest) == "/Pod"
} else := found if {
	path := templates[kind(manifest)]
	found := at(manifest, path)
} else := manifest

# METADATA
# title: What lies at a path
# description: Always defined; an empty object where nothing is.
at(manifest, path) := found if {
	found := object.get(manifest, path, {})
	is_object(found)
} else := {}

# METADATA
# title: Annotations that the pods get
# description: Always defined; an empty object where there is no map. What is no text stays, so that it can be refused.
annotations(manifest) := mapped(manifest, "annotations")

# METADATA
# title: Labels that the pods get
# description: Always defined; an empty object where there is no map.
labels(manifest) := object.union(mapped(manifest, "labels"), served(manifest))

# METADATA
# title: The label that the pods of an InferenceService get
# description: Always defined; an empty object for other kinds.
served(manifest) := {"serving.kserve.io/inferenceservice": manifest.metadata.name} if {
	kind(manifest) == "serving.kserve.io/InferenceService"
	is_string(manifest.metadata.name)
} else := {}

# METADATA
# title: One map of the metadata of the template
# description: Always defined; an empty object for what is no map.
mapped(manifest, part) := found if {
	found := template(manifest).metadata[part]
	is_object(found)
} else := {}

# METADATA
# title: What an object sets, at any depth
# description: |-
#   Each field with its path, its name and its value. What stands under names and labels is left out: a node's labels
#   are called after resources too.
fields(manifest) := {[path, key, value] |
	walk(wanted(manifest), [path, value])
	key := path[count(path) - 1]
	is_string(key)
	count({step | some step in path} & names_only) == 0
}

# METADATA
# title: Steps of a path under which keys are only names
# description: Nothing that runs is configured there.
names_only := {"annotations", "labels", "matchLabels", "metadata", "nodeSelector"}

# METADATA
# title: A path as text
# description: Always defined.
place(path) := concat(".", [sprintf("%v", [step]) | some step in path])

# METADATA
# title: The pod specifications of an object
# description: |-
#   Each with the place where it lies. In a known kind it is there even when nothing is at its place, so that something
#   can be said of it.
specs(manifest) := {[place(array.concat(path, ["spec"])), spec] |
	path := known(manifest)
	spec := object.get(template(manifest), "spec", null)
} | {[place(path), spec] |
	unknown(manifest)
	walk(wanted(manifest), [path, spec])
	is_object(spec)
	some key in ["containers", "initContainers", "ephemeralContainers"]
	is_array(spec[key])
}

# METADATA
# title: The place of the template in a kind of Kubernetes
# description: Undefined for other kinds.
known(manifest) := [] if {
	kind(manifest) == "/Pod"
} else := templates[kind(manifest)]

# METADATA
# title: Whether pod specifications must be looked for
# description: Undefined for a known kind, and for one whose containers are patches.
unknown(manifest) if {
	name := kind(manifest)
	not listed(name)
	not partial[name]
}

# METADATA
# title: Whether a kind is one of Kubernetes that runs pods
# description: Undefined for other kinds.
# scope: document
listed("/Pod")

listed(name) if templates[name]

# METADATA
# title: The containers of a pod specification
# description: Of all three kinds, each with its place; what is no object is one too, so that it is refused.
containers(spec) := {[concat("", [key, "[", sprintf("%v", [index]), "]"]), container] |
	some key in ["containers", "initContainers", "ephemeralContainers"]
	some index, container in spec[key]
}
