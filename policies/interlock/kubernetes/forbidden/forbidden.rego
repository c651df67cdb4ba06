# METADATA
# title: What no part of an object may ask for
# description: |-
#   Fields of pods and containers that must not be set otherwise, at any depth and whatever kind the object is: also in
#   the patches of a TrainJob and in the predictor of an InferenceService, whose pods are only seen later.
package interlock.kubernetes.forbidden

import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.workloads

# METADATA
# title: What an object asks for and must not
# description: Texts, each with its place; empty when nothing is wrong.
problems(manifest) := (anywhere(manifest) | unconfined(manifest)) | unreadable(manifest)

# METADATA
# title: Fields that are set otherwise
# description: Texts, each with its place.
anywhere(manifest) := {sprintf("%s: %s", [workloads.place(path), text]) |
	some [path, key, value] in workloads.fields(manifest)
	text := fields[key]
	not harmless(key, value)
}

# METADATA
# title: What a field must be, where it is set
# description: By its name.
fields := {
	"allowPrivilegeEscalation": "must be false",
	"appArmorProfile": "type must be RuntimeDefault or Localhost",
	"automountServiceAccountToken": "must be false",
	"capabilities": "must add nothing but NET_BIND_SERVICE",
	"hostIPC": "must be false",
	"hostNetwork": "must be false",
	"hostPID": "must be false",
	"hostPath": "must not be mounted",
	"hostPort": "must be 0",
	"hostProcess": "must be false",
	"httpGet": "must name no host",
	"privileged": "must be false",
	"procMount": "must be Default",
	"runAsNonRoot": "must be true",
	"runAsUser": "must be a number above 0",
	"seLinuxOptions": "must name no user, no role and only a container type",
	"seccompProfile": "type must be RuntimeDefault or Localhost",
	"tcpSocket": "must name no host",
}

# METADATA
# title: A field is set to something harmless
# description: Undefined for everything else.
# scope: document
harmless("allowPrivilegeEscalation", false)

harmless("appArmorProfile", value) if value.type in {"RuntimeDefault", "Localhost"}

harmless("automountServiceAccountToken", false)

harmless("capabilities", value) if {
	added := parameters.field(value, "add", [])
	is_array(added)
	every capability in added {
		capability == "NET_BIND_SERVICE"
	}
}

harmless("hostIPC", false)

harmless("hostNetwork", false)

harmless("hostPID", false)

harmless("hostPort", 0)

harmless("hostProcess", false)

harmless("httpGet", value) if parameters.field(value, "host", "") == ""

harmless("privileged", false)

harmless("procMount", "Default")

harmless("runAsNonRoot", true)

harmless("runAsUser", value) if {
	is_number(value)
	value > 0
}

harmless("seLinuxOptions", value) if {
	parameters.field(value, "user", "") == ""
	parameters.field(value, "role", "") == ""
	parameters.field(value, "type", "") in {"", "container_engine_t", "container_init_t", "container_kvm_t", "container_t"}
}

harmless("seccompProfile", value) if value.type in {"RuntimeDefault", "Localhost"}

harmless("tcpSocket", value) if parameters.field(value, "host", "") == ""

# METADATA
# title: AppArmor by annotation
# description: The old way to switch it off, which the API server still takes.
unconfined(manifest) := {sprintf("annotation %s must be runtime/default or localhost/", [key]) |
	some key, value in workloads.annotations(manifest)
	startswith(key, "container.apparmor.security.beta.kubernetes.io/")
	not confined(value)
}

# METADATA
# title: An AppArmor profile that confines
# description: Undefined for every other.
# scope: document
confined("runtime/default")

confined(profile) if {
	is_string(profile)
	startswith(profile, "localhost/")
}

# METADATA
# title: Metadata that cannot be read
# description: |-
#   Of the object and of its pods. The API server takes only maps of texts, so what else stands there was made to be
#   overlooked.
unreadable(manifest) := {sprintf("%s must be a map of texts", [place]) |
	some [path, thing] in ({[[], manifest]} | {[path, workloads.template(manifest)] | path := workloads.known(manifest)})
	some part in ["annotations", "labels"]
	not texts(thing, part)
	place := workloads.place(array.concat(path, ["metadata", part]))
}

# METADATA
# title: A part of the metadata is a map of texts
# description: Undefined unless it is, or is absent.
texts(thing, part) if {
	values := parameters.field(parameters.field(thing, "metadata", {}), part, {})
	is_object(values)
	every value in values {
		is_string(value)
	}
}
