# METADATA
# title: Pod security, restricted
# description: |-
#   The Pod Security Standards' profile `restricted` (with all of `baseline` in it) and what it leaves out: no token of
#   the service account, a read-only root file system, images that cannot change. Each check is a positive, typed
#   helper, so that a field of the wrong shape is a problem and not silence.
package interlock.kubernetes.restricted

import data.interlock.kubernetes.forbidden
import data.interlock.kubernetes.images
import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.workloads

# METADATA
# title: What is wrong with the pods of an object
# description: Texts, each with its place; empty when nothing is wrong.
problems(manifest) := in_pods | forbidden.problems(manifest) if {
	in_pods := {sprintf("%s: %s", [place, text]) |
		some [place, spec] in workloads.specs(manifest)
		some text in in_spec(spec)
	}
}

# METADATA
# title: What is wrong with one pod specification
# description: Texts; empty when nothing is wrong.
in_spec(spec) := of_pod | of_containers if {
	of_pod := {text |
		some check, text in pod_checks
		not holds(check, spec)
	}
	of_containers := {sprintf("%s: %s", [place, text]) |
		some [place, container] in workloads.containers(spec)
		some text in in_container(container, spec)
	}
}

# METADATA
# title: What is wrong with one container
# description: Texts; empty when nothing is wrong.
in_container(container, spec) := of_container | of_image if {
	of_container := {text |
		some check, text in container_checks
		not passes(check, container, spec)
	}
	of_image := images.problems(field_or_null(container, "image"))
}

# METADATA
# title: A field, or nothing
# description: Always defined.
field_or_null(thing, key) := value if {
	value := parameters.field(thing, key, null)
} else := null

# METADATA
# title: What a pod specification must be
# description: By the name of the check.
pod_checks := {
	"lists": "containers must be a list of at least one, initContainers and ephemeralContainers lists",
	"token": "automountServiceAccountToken must be false",
	"volumes": "only volumes of the types that the profile lists, and no token for an audience that it does not list",
	"sysctls": "securityContext.sysctls must hold only those that are safe",
}

# METADATA
# title: What a container must be
# description: By the name of the check.
container_checks := {
	"capabilities": "securityContext.capabilities must drop ALL, and add nothing but NET_BIND_SERVICE",
	"escalation": "securityContext.allowPrivilegeEscalation must be false",
	"root": "securityContext.runAsNonRoot must be true, and runAsUser must not be 0",
	"root_filesystem": "securityContext.readOnlyRootFilesystem must be true",
	"seccomp": "securityContext.seccompProfile.type must be RuntimeDefault or Localhost",
}

# METADATA
# title: A check of a pod specification
# description: Undefined unless it holds.
# scope: document
holds("lists", spec) if {
	is_array(spec.containers)
	count(spec.containers) > 0
	is_array(parameters.field(spec, "initContainers", []))
	is_array(parameters.field(spec, "ephemeralContainers", []))
}

holds("token", spec) if spec.automountServiceAccountToken == false

holds("volumes", spec) if {
	volumes := parameters.field(spec, "volumes", [])
	is_array(volumes)
	every volume in volumes {
		permitted_volume(volume)
	}
}

holds("sysctls", spec) if {
	sysctls := parameters.field(parameters.field(spec, "securityContext", {}), "sysctls", [])
	is_array(sysctls)
	every sysctl in sysctls {
		sysctl.name in safe_sysctls
	}
}

# METADATA
# title: Kernel parameters that stay within the pod
# description: Those of the Pod Security Standards.
safe_sysctls := {
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ping_group_range",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_wmem",
}

# METADATA
# title: A volume is of a type that the profile lists
# description: Undefined unless it has one type, that is listed, and projects no token but for a listed audience.
permitted_volume(volume) if {
	is_object(volume)
	types := object.keys(volume) - {"name"}
	count(types) == 1
	every type in types {
		type in parameters.names("kubernetes", "volumes")
	}
	every audience in audiences(volume) {
		audience in parameters.names("kubernetes", "token_audiences")
	}
}

# METADATA
# title: The audiences for which a volume projects tokens
# description: Undefined when its sources cannot be read; empty text stands for the API server.
audiences(volume) := [parameters.field(source.serviceAccountToken, "audience", "") | some source in sources] if {
	sources := parameters.field(parameters.field(volume, "projected", {}), "sources", [])
	is_array(sources)
	every source in sources {
		is_object(parameters.field(source, "serviceAccountToken", {}))
	}
}

# METADATA
# title: A check of a container
# description: Undefined unless it holds.
# scope: document
passes("escalation", container, _) if container.securityContext.allowPrivilegeEscalation == false

passes("capabilities", container, _) if {
	capabilities := container.securityContext.capabilities
	is_array(capabilities.drop)
	"ALL" in capabilities.drop
	added := parameters.field(capabilities, "add", [])
	is_array(added)
	every capability in added {
		capability == "NET_BIND_SERVICE"
	}
}

passes("root", container, spec) if {
	effective(container, spec, "runAsNonRoot") == true
	user(container) != 0
	user(spec) != 0
}

passes("root_filesystem", container, _) if container.securityContext.readOnlyRootFilesystem == true

passes("root_filesystem", container, _) if {
	is_object(container)
	parameters.profile.kubernetes.read_only_root_filesystem == false
}

passes("seccomp", container, spec) if {
	effective(container, spec, "seccompProfile").type in {"RuntimeDefault", "Localhost"}
}

# METADATA
# title: A setting of a container's security context
# description: The container's own where it has one, else the pod's; undefined where neither has one.
effective(container, spec, key) := value if {
	own := parameters.field(container, "securityContext", {})
	shared := parameters.field(spec, "securityContext", {})
	value := parameters.field(own, key, parameters.field(shared, key, null))
}

# METADATA
# title: The user that a pod or a container names
# description: Undefined unless it is a number; -1 where none is named.
user(thing) := number if {
	number := parameters.field(parameters.field(thing, "securityContext", {}), "runAsUser", -1)
	is_number(number)
}
