# METADATA
# title: Interlock's settings are the deployment's
# description: |-
#   Whoever writes a pod must not say in its variables how strictly its steps are checked. Settings of pods come from
#   `/etc/interlock/config.toml`, in the image or mounted by whoever runs the cluster.
package interlock.kubernetes.rules.environment

import data.interlock.facts
import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.review
import data.interlock.kubernetes.workloads

# METADATA
# title: Variables that an object sets
# description: Their names, with their places; also the prefix of those that come from elsewhere.
# scope: document
names contains [workloads.place(path), name] if {
	walk(workloads.wanted(review.wanted), [path, list])
	path[count(path) - 1] == "env"
	is_array(list)
	some variable in list
	name := variable.name
	is_string(name)
}

names contains [workloads.place(path), prefix] if {
	walk(workloads.wanted(review.wanted), [path, list])
	path[count(path) - 1] == "envFrom"
	is_array(list)
	some source in list
	prefix := source.prefix
	is_string(prefix)
}

# METADATA
# title: Whether a variable could be a setting
# description: Undefined for those that the profile lists, which say what to use and not how strictly.
is_setting(name) if {
	startswith(name, "INTERLOCK_")
	not listed(name)
}

# METADATA
# title: Whether the profile lists a variable
# description: Undefined where it has no list.
listed(name) if name in parameters.names("kubernetes", "variables")

# METADATA
# title: A pod brings settings of its own
# description: A variable whose name begins with INTERLOCK_ and is none of those that the profile lists.
# custom:
#   id: kubernetes.settings
#   severity: critical
#   remediation: Leave the variable out; settings come from /etc/interlock/config.toml of the image or of the cluster
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
deny contains facts.reason(rego.metadata.rule(), message) if {
	some [place, name] in names
	is_setting(name)
	message := sprintf("%s: %s: %s is a setting of Interlock (profile %s)", [
		review.shown,
		place,
		substring(name, 0, 100),
		parameters.shown,
	])
}
