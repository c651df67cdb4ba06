# METADATA
# title: Tests of pod security
package interlock.kubernetes.restricted_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.restricted

problems(manifest) := found if {
	# regal ignore:with-outside-test-context
	found := restricted.problems(manifest) with input as examples.allowed.pod
}

# Those in which nothing is found. Asked at once: every `with` evaluates all that is under it anew.
silent(manifests) := found if {
	found := {name |
		some name, manifest in manifests
		restricted.problems(manifest) == set()
		# regal ignore:with-outside-test-context
	} with input as examples.allowed.pod
}

test_the_examples_have_no_problem if {
	silent(examples.manifests) == object.keys(examples.manifests)
}

# What an attacker would put into a pod, each of it alone.
attacks := {
	"host network": {"path": "spec/hostNetwork", "value": true},
	"host processes": {"path": "spec/hostPID", "value": true},
	"host memory": {"path": "spec/hostIPC", "value": true},
	"host path": {"path": "spec/volumes/0", "value": {"name": "work", "hostPath": {"path": "/"}}},
	"two types of one volume": {
		"path": "spec/volumes/0",
		"value": {"name": "work", "emptyDir": {}, "nfs": {"server": "a", "path": "/"}},
	},
	"a volume without a type": {"path": "spec/volumes/0", "value": {"name": "work"}},
	"a volume over the network": {
		"path": "spec/volumes/0",
		"value": {"name": "work", "nfs": {"server": "a", "path": "/"}},
	},
	"a token by projection": {
		"path": "spec/volumes/0",
		"value": {"name": "work", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
	},
	"a token for somebody else": {
		"path": "spec/volumes/0",
		"value": {
			"name": "work",
			"projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}]},
		},
	},
	"sources of a wrong type": {
		"path": "spec/volumes/0",
		"value": {"name": "work", "projected": {"sources": {"serviceAccountToken": {}}}},
	},
	"a source of a wrong type": {
		"path": "spec/volumes/0",
		"value": {"name": "work", "projected": {"sources": [{"serviceAccountToken": null}]}},
	},
	"host port": {"path": "spec/containers/0/ports", "value": [{"containerPort": 80, "hostPort": 80}]},
	"privileged": {"path": "spec/containers/0/securityContext/privileged", "value": true},
	"privileges by escalation": {
		"path": "spec/containers/0/securityContext/allowPrivilegeEscalation",
		"value": true,
	},
	"a capability": {
		"path": "spec/containers/0/securityContext/capabilities",
		"value": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
	},
	"most capabilities": {"path": "spec/containers/0/securityContext/capabilities", "value": {"drop": ["NET_RAW"]}},
	"root by number": {"path": "spec/containers/0/securityContext/runAsUser", "value": 0},
	"root by number for all": {"path": "spec/securityContext/runAsUser", "value": 0},
	"root by leave": {"path": "spec/containers/0/securityContext/runAsNonRoot", "value": false},
	"root by leave for all": {"path": "spec/securityContext/runAsNonRoot", "value": false},
	"no seccomp": {
		"path": "spec/containers/0/securityContext/seccompProfile",
		"value": {"type": "Unconfined"},
	},
	"no seccomp for all": {"path": "spec/securityContext/seccompProfile", "value": {"type": "Unconfined"}},
	"no AppArmor": {
		"path": "spec/containers/0/securityContext/appArmorProfile",
		"value": {"type": "Unconfined"},
	},
	"no AppArmor by annotation": {
		"path": "metadata/annotations",
		"value": {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"},
	},
	"a role of SELinux": {"path": "spec/securityContext/seLinuxOptions", "value": {"role": "sysadm_r"}},
	"a user of SELinux": {"path": "spec/securityContext/seLinuxOptions", "value": {"user": "sysadm_u"}},
	"a type of SELinux": {"path": "spec/securityContext/seLinuxOptions", "value": {"type": "spc_t"}},
	"the whole of /proc": {"path": "spec/containers/0/securityContext/procMount", "value": "Unmasked"},
	"a process of the Windows host": {
		"path": "spec/securityContext/windowsOptions",
		"value": {"hostProcess": true},
	},
	"a kernel parameter": {
		"path": "spec/securityContext/sysctls",
		"value": [{"name": "kernel.msgmax", "value": "1"}],
	},
	"a probe of another host": {
		"path": "spec/containers/0/livenessProbe",
		"value": {"httpGet": {"host": "169.254.169.254", "port": 80}},
	},
	"a hook to another host": {
		"path": "spec/containers/0/lifecycle",
		"value": {"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}},
	},
	"a file system to write to": {
		"path": "spec/containers/0/securityContext/readOnlyRootFilesystem",
		"value": false,
	},
	"a token by default": {"path": "spec/automountServiceAccountToken", "value": true},
	"an image by tag": {"path": "spec/containers/0/image", "value": "ghcr.io/acme/train:v1"},
	"no container": {"path": "spec/containers", "value": []},
	"an init container": {"path": "spec/initContainers", "value": [{"name": "init", "image": examples.image}]},
	"an ephemeral container": {"path": "spec/ephemeralContainers", "value": [{"name": "debug"}]},
	"init containers of a wrong type": {"path": "spec/initContainers", "value": {"name": "init"}},
	"a container of a wrong type": {"path": "spec/containers/0", "value": null},
}

attacked[name] := json.patch(examples.pod(examples.spec), [object.union({"op": "add"}, attack)]) if {
	some name, attack in attacks
}

test_every_attack_is_seen_in_a_pod if silent(attacked) == set()

test_every_attack_is_seen_in_a_template if {
	silent({name: manifest |
		some name, pod in attacked
		template := {"metadata": object.get(pod, "metadata", {}), "spec": pod.spec}
		manifest := object.union(examples.deployment, {"spec": {"template": template}})
	}) == set()
}

# What the patches of a TrainJob and the predictor of an InferenceService may not ask for; completeness is the pod's.
in_patches := {
	"hostNetwork": true,
	"hostPID": true,
	"hostIPC": true,
	"volumes": [{"name": "a", "hostPath": {"path": "/"}}],
	"automountServiceAccountToken": true,
	"securityContext": {"runAsUser": 0},
}

test_patches_may_not_weaken_what_they_patch if {
	silent({concat(" ", [kind, key]): manifest |
		some key, value in in_patches
		some kind, patch in {
			"train_job": {"path": "spec/runtimePatches", "value": [{"trainingRuntimeSpec": {"spec": {key: value}}}]},
			"inference_service": {"path": concat("/", ["spec/predictor", key]), "value": value},
		}
		manifest := json.patch(examples.manifests[kind], [object.union({"op": "add"}, patch)])
	}) == set()
}

test_every_field_read_must_be_there_with_its_type if {
	silent({[path, manifest]: manifest |
		some path in [
			"spec",
			"spec/automountServiceAccountToken",
			"spec/containers",
			"spec/containers/0",
			"spec/containers/0/image",
			"spec/containers/0/securityContext",
			"spec/containers/0/securityContext/allowPrivilegeEscalation",
			"spec/containers/0/securityContext/capabilities",
			"spec/containers/0/securityContext/capabilities/drop",
			"spec/containers/0/securityContext/readOnlyRootFilesystem",
		]
		some manifest in spoiled(path)
	}) == set()
}

test_every_field_that_may_be_absent_must_have_its_type if {
	silent({[path, manifest]: manifest |
		some path in [
			"spec/securityContext",
			"spec/securityContext/runAsUser",
			"spec/securityContext/runAsNonRoot",
			"spec/securityContext/seccompProfile",
			"spec/containers/0/securityContext/runAsUser",
			"spec/containers/0/securityContext/runAsNonRoot",
			"spec/containers/0/securityContext/seccompProfile",
			"spec/volumes",
			"spec/volumes/0",
		]
		pod := examples.pod(examples.spec)
		some manifest in (documents.spoiled(pod, path) - {json.remove(pod, [path])})
	}) == set()
}

# The plain pod without the value at `path`, with null there, and with values of other types.
spoiled(path) := {json.remove(pod, [path])} | {documents.changed(pod, path, wrong) |
	some wrong in [null, 7, "text", {"text": 1}]
	type_name(wrong) != type_name(documents.at(pod, path))
} if {
	pod := examples.pod(examples.spec)
}

test_the_profile_says_which_volumes_and_tokens if {
	every path in ["standard/kubernetes/volumes"] {
		every profiles in documents.profiles_without(path) {
			count(problems(examples.pod(examples.spec))) > 0 with data.interlock.profiles as profiles
		}
	}
	token := json.patch(examples.pod(examples.spec), [object.union({"op": "add"}, attacks["a token for somebody else"])])
	profiles := documents.changed(data.interlock.profiles, "standard/kubernetes/token_audiences", ["vault"])
	problems(token) == set() with data.interlock.profiles as profiles
}

test_the_profile_may_let_the_root_file_system_be_written if {
	pod := documents.changed(
		examples.pod(examples.spec),
		"spec/containers/0/securityContext/readOnlyRootFilesystem",
		false,
	)
	profiles := documents.changed(data.interlock.profiles, "standard/kubernetes/read_only_root_filesystem", false)
	problems(pod) == set() with data.interlock.profiles as profiles
	count(problems(pod)) == 1
}

test_harmless_settings_are_left_alone if {
	changes := [
		{"path": "spec/hostNetwork", "value": false},
		{"path": "spec/containers/0/securityContext/privileged", "value": false},
		{"path": "spec/containers/0/securityContext/procMount", "value": "Default"},
		{"path": "spec/containers/0/securityContext/capabilities/add", "value": ["NET_BIND_SERVICE"]},
		{"path": "spec/containers/0/securityContext/appArmorProfile", "value": {"type": "RuntimeDefault"}},
		{"path": "spec/containers/0/ports", "value": [{"containerPort": 80, "hostPort": 0}]},
		{"path": "spec/containers/0/livenessProbe", "value": {"httpGet": {"port": 80}}},
		{"path": "spec/containers/0/readinessProbe", "value": {"tcpSocket": {"port": 80}}},
		{"path": "spec/securityContext/seLinuxOptions", "value": {"type": "container_t", "level": "s0:c1"}},
		{
			"path": "spec/securityContext/sysctls",
			"value": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
		},
		{"path": "spec/securityContext/windowsOptions", "value": {"hostProcess": false}},
		{"path": "spec/hostIPC", "value": false},
		{"path": "spec/hostPID", "value": false},
		{
			"path": "metadata/annotations",
			"value": {"container.apparmor.security.beta.kubernetes.io/main": "localhost/mine"},
		},
		{
			"path": "metadata/annotations",
			"value": {"container.apparmor.security.beta.kubernetes.io/main": "runtime/default"},
		},
	]
	pods := {number: pod |
		some number, change in changes
		pod := json.patch(examples.pod(examples.spec), [object.union({"op": "add"}, change)])
	}
	silent(pods) == object.keys(pods)
}

test_a_container_takes_from_its_pod_what_it_does_not_say if {
	bare := json.remove(examples.pod(examples.spec), [
		"spec/containers/0/securityContext/runAsNonRoot",
		"spec/containers/0/securityContext/runAsUser",
		"spec/containers/0/securityContext/seccompProfile",
	])
	problems(bare) == set()
	every field in ["runAsNonRoot", "seccompProfile"] {
		count(problems(json.remove(bare, [concat("/", ["spec/securityContext", field])]))) == 1
	}
}
