# METADATA
# title: Network policies that hold a pod
# description: |-
#   Network policies add up: a pod is held in a direction when one selects it there and none that may select it leaves
#   that direction open. A policy that selects by expressions counts as one that may, not as one that does.
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
	by_labels(policy)
	every other in [one | some one in policies; may_select(one, manifest, direction)] {
		closed(other, direction)
	}
}

# METADATA
# title: Whether a policy selects by labels alone
# description: Undefined unless its selector can be read.
by_labels(policy) if parameters.field(policy.spec.podSelector, "matchExpressions", []) == []

# METADATA
# title: Whether a policy may select the pods of an object
# description: Undefined unless it lies in the same namespace, is for the direction, and its labels do not exclude them.
may_select(policy, manifest, direction) if {
	namespace(policy) == namespace(manifest)
	direction in directions(policy)
	labels := workloads.labels(manifest)
	every key, value in selector(policy) {
		labels[key] == value
	}
}

# METADATA
# title: The labels by which a policy selects
# description: Always defined; a selector that says nothing, or cannot be read, selects every pod.
selector(policy) := labels if {
	labels := policy.spec.podSelector.matchLabels
	is_object(labels)
} else := {}

# METADATA
# title: The namespace of an object
# description: Empty where it names none; both objects must then name none.
namespace(manifest) := object.get(manifest, ["metadata", "namespace"], "")

# METADATA
# title: The directions that a policy is for
# description: As Kubernetes reads a policy that does not say.
directions(policy) := {direction | some direction in policy.spec.policyTypes} if {
	is_array(policy.spec.policyTypes)
	count(policy.spec.policyTypes) > 0
} else := {"Ingress", "Egress"} if {
	parameters.field(policy.spec, "egress", null) != null
} else := {"Ingress"}

# METADATA
# title: Whether a policy names who is on the other side
# description: Undefined for a rule that lets everybody through.
closed(policy, direction) if {
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
#   for what is no peer.
# scope: document
narrow(peer) if {
	is_object(peer)
	count(peer) > 0
	not "ipBlock" in object.keys(peer)
}

narrow(peer) if {
	is_object(peer)
	is_string(peer.ipBlock.cidr)
	regex.match(`^[0-9a-fA-F.:]+/([89]|[1-9][0-9]|1[0-2][0-9])$`, peer.ipBlock.cidr)
}
