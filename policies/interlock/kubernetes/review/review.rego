# METADATA
# title: Reads of an AdmissionReview
# description: |-
#   What the API server asks (`admission.k8s.io/v1`). Undefined unless the review is one and everything that the rules
#   read has its type, so that one rule can say that it is none, and no other has to.
# schemas:
#   - input: schema.admission_review
package interlock.kubernetes.review

import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.workloads

# METADATA
# title: Whether the review is one
# description: Undefined unless all that the rules read is there with its type.
# scope: document
sound if {
	asked
	input.request.operation == "DELETE"
}

sound if {
	asked
	input.request.operation == "CREATE"
	is_the_kind(input.request.object)
}

sound if {
	asked
	input.request.operation == "UPDATE"
	is_the_kind(input.request.object)
	is_object(input.request.oldObject)
	readable_metadata(input.request.oldObject)
}

# METADATA
# title: Whether somebody asks as the API server does
# description: Undefined unless the profile can be read too; without it nothing could be judged.
asked if {
	input.kind == "AdmissionReview"
	input.apiVersion == "admission.k8s.io/v1"
	is_string(input.request.uid)
	input.request.uid != ""
	is_string(input.request.kind.group)
	is_string(input.request.kind.version)
	is_string(input.request.kind.kind)
	parameters.profile
}

# METADATA
# title: Whether an object is of the kind that the request names
# description: Undefined unless its metadata can be read too.
is_the_kind(manifest) if {
	workloads.kind(manifest) == concat("/", [input.request.kind.group, input.request.kind.kind])
	trim_prefix(concat("/", [input.request.kind.group, input.request.kind.version]), "/") == manifest.apiVersion
	readable_metadata(manifest)
}

# METADATA
# title: Whether the annotations of an object are texts
# description: Undefined unless metadata is an object, and annotations are absent or a map of texts.
readable_metadata(manifest) if {
	annotations := parameters.field(manifest.metadata, "annotations", {})
	is_object(annotations)
	every value in annotations {
		is_string(value)
	}
}

# METADATA
# title: The object that is wanted
# description: Undefined where the request wants none.
wanted := input.request.object if {
	sound
	input.request.operation in {"CREATE", "UPDATE"}
}

# METADATA
# title: The object as it is
# description: Undefined unless the request changes one.
current := input.request.oldObject if {
	sound
	input.request.operation == "UPDATE"
}

# METADATA
# title: The object as text
# description: Always defined.
shown := concat(" ", [shown_kind, shown_name])

# METADATA
# title: Its kind as text
# description: Always defined.
# scope: document
default shown_kind := "object"

shown_kind := input.request.kind.kind if is_string(input.request.kind.kind)

# METADATA
# title: Its name as text
# description: Always defined; only its beginning is known where the API server makes one up.
# scope: document
default shown_name := "(unnamed)"

shown_name := input.request.object.metadata.name if {
	is_string(input.request.object.metadata.name)
} else := sprintf("%s*", [input.request.object.metadata.generateName]) if {
	is_string(input.request.object.metadata.generateName)
}
