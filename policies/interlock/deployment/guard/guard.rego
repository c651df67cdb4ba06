# METADATA
# title: What the rules of deployment share
# description: When they judge, and what the step asks for.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.guard

import data.interlock.facts

# METADATA
# title: Whether a deployment wants to start
# description: Guards of deployments.
applies if {
	facts.stage == "guard"
	facts.gate == "deployment"
}

# METADATA
# title: Whether the profile lets a declaration be absent, and it is
# description: |-
#   Undefined unless the profile says `optional` and the step says nothing of it. What is declared is judged in every
#   profile.
omitted(name) if {
	facts.profile.deployment[name] == "optional"
	is_object(input.requested)
	declared := object.keys(input.requested)
	not name in declared
}

# METADATA
# title: The gates whose receipts the profile asks for
# description: Undefined unless it names them, or none, for this role.
required_of(role) := facts.names("deployment", sprintf("required_of_%s", [role]))

# METADATA
# title: Digests of the materials of one role
# description: Those that can be read.
digests(role) := {material.subject.digest.sha256 |
	some material in input.lineage
	material.role == role
	is_string(material.subject.digest.sha256)
}
