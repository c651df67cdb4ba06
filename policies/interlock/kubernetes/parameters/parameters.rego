# METADATA
# title: The profile that judges Kubernetes objects
# description: |-
#   An AdmissionReview names no profile, and nobody who creates objects may choose one: there the bundle's data says it
#   (`interlock.kubernetes.settings.profile`). In a decision document it is the profile of the settings, as everywhere.
package interlock.kubernetes.parameters

import data.interlock.facts

# METADATA
# title: Whether the question comes from the API server
# description: Undefined for a decision document.
# schemas:
#   - input: schema.admission_review
admission if input.kind == "AdmissionReview"

# METADATA
# title: Name of the profile
# description: Undefined unless the bundle's data or the settings name one.
# scope: document
name := data.interlock.kubernetes.settings.profile if admission

# METADATA
# title: Name of the profile of a decision document
# description: Undefined unless the settings name one.
# schemas:
#   - input: schema.decision_input
name := input.profile if not admission

# METADATA
# title: The parameters of the profile
# description: Undefined for a profile that the bundle's data does not have.
profile := parameters if {
	# regal ignore:with-outside-test-context
	parameters := facts.profile with input.profile as name
}

# METADATA
# title: Name of the profile as text
# description: Always defined.
# scope: document
default shown := "(none)"

shown := sprintf("%v", [name])

# METADATA
# title: A list of texts among the parameters
# description: Undefined unless the profile has a list there that holds nothing but texts.
names(section, parameter) := listed if {
	listed := profile[section][parameter]
	is_array(listed)
	every item in listed {
		is_string(item)
	}
}

# METADATA
# title: The value of a field that may be absent
# description: Undefined unless `thing` is an object. A field that is there counts, even when it is null.
field(thing, key, otherwise) := value if {
	is_object(thing)
	value := object.get(thing, key, otherwise)
}
