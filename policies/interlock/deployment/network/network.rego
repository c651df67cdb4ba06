# METADATA
# title: Network policies that hold a pod
# description: |-
#   Network policies add up: a pod is held in a direction when one selects it there and none that may select it leaves
#   that direction open. A policy that selects by expressions counts as one that may, not as one that does; so does one
#   of which something cannot be read.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.network

import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.workloads

# METADATA
# title: The policies among the objects that are deployed
# description: Those of Kubernetes itself.
policies := [policy |
	some policy in input.requested.manifests
	workloads.kind(policy) == "networking.k8s.io/NetworkPolicy"
]

# METADATA
# title: Whether the pods of an object are held in a direction
# description: Undefined unless they are.
held(manifest, direction) if {
	some policy in policies
	may_select(policy, manifest, direction)
	selects(policy, manifest)
	every other in [one | some one in policies; may_select(one, manifest, direction)] {
		closed(other, direction)
	}
}

# METADATA
# title: Whether a policy surely selects the pods of an object that it may select
# description: Undefined unless it lies in the same namespace and selects by labels alone, which can be read.
selects(policy, manifest) if {
	namespace(policy) == namespace(manifest)
	readable(policy.spec.podSelector)
	parameters.field(policy.spec.podSelector, "matchExpressions", []) == []
}

# METADATA
# title: Whether a policy may select the pods of an object
# description: |-
#   Undefined for one in another namespace, for other directions, or whose labels exclude them. What cannot be read
#   excludes nothing.
may_select(policy, manifest, direction) if {
	not apart(policy, manifest)
	direction in directions(policy)
	labels := workloads.labels(manifest)
	every key, value in selector(policy) {
		labels[key] == value
	}
}

# METADATA
# title: The labels by which a policy selects
# description: Always defined; a selector that says nothing, or cannot be read, excludes no pod.
selector(policy) := labels if {
	readable(policy.spec.podSelector)
	labels := parameters.field(policy.spec.podSelector, "matchLabels", {})
} else := {}

# METADATA
# title: Whether a selector can be read
# description: Undefined unless it is an object of labels, that are texts, and of expressions, and of nothing else.
readable(found) if {
	is_object(found)
	count(object.keys(found) - {"matchLabels", "matchExpressions"}) == 0
	labels := object.get(found, "matchLabels", {})
	is_object(labels)
	every value in labels {
		is_string(value)
	}
	is_array(object.get(found, "matchExpressions", []))
}

# METADATA
# title: The namespace of an object
# description: Empty where it names none; it lies then where whoever creates it is.
namespace(manifest) := object.get(manifest, ["metadata", "namespace"], "")

# METADATA
# title: Whether a policy lies in another namespace
# description: Undefined unless both name one.
apart(policy, manifest) if {
	its := namespace(policy)
	here := namespace(manifest)
	every name in [its, here] {
		is_string(name)
		name != ""
	}
	its != here
}

# METADATA
# title: The directions that a policy is for
# description: As Kubernetes reads a policy that does not say; both for one of which that cannot be read.
directions(policy) := {direction | some direction in policy.spec.policyTypes} if {
	readable_types(policy)
	count(policy.spec.policyTypes) > 0
} else := {"Ingress", "Egress"} if {
	not readable_types(policy)
} else := {"Ingress", "Egress"} if {
	parameters.field(policy.spec, "egress", null) != null
} else := {"Ingress"}

# METADATA
# title: Whether the directions of a policy can be read
# description: Undefined unless they are a list of directions, or absent.
readable_types(policy) if {
	types := parameters.field(policy.spec, "policyTypes", [])
	is_array(types)
	every type in types {
		type in {"Ingress", "Egress"}
	}
}

# METADATA
# title: Whether a policy names who is on the other side
# description: Undefined for a rule that lets everybody through, and for a policy whose directions cannot be read.
closed(policy, direction) if {
	readable_types(policy)
	sides := {"Ingress": ["ingress", "from"], "Egress": ["egress", "to"]}[direction]
	rules := parameters.field(policy.spec, sides[0], [])
	is_array(rules)
	every rule in rules {
		is_array(rule[sides[1]])
		count(rule[sides[1]]) > 0
		every peer in rule[sides[1]] {
			narrow(peer)
		}
	}
}

# METADATA
# title: Whether a peer is less than everybody
# description: |-
#   Undefined for a block of addresses with a prefix of less than 8 bits, of which a few are the whole Internet, and
#   for what is no peer, or has a selector that cannot be read.
# scope: document
narrow(peer) if {
	is_object(peer)
	count(peer) > 0
	count(object.keys(peer) - {"podSelector", "namespaceSelector"}) == 0
	every found in peer {
		readable(found)
	}
}

narrow(peer) if {
	is_object(peer)
	object.keys(peer) == {"ipBlock"}
	is_string(peer.ipBlock.cidr)
	regex.match(`^[0-9a-fA-F.:]+/([89]|[1-9][0-9]|1[0-2][0-9])$`, peer.ipBlock.cidr)
}
