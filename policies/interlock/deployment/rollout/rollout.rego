# METADATA
# title: There is a way back
# description: A deployment says on how much traffic it starts, and to what it goes back.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.rollout

import data.interlock.deployment.guard
import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Guards of deployments.
applies if guard.applies

# METADATA
# title: The rollout is declared and careful enough
# description: Undefined unless it is, or the profile lets it be absent and it is.
# scope: document
sound if guard.omitted("rollout")

sound if {
	rollout := input.requested.rollout
	is_number(rollout.canary_percent)
	rollout.canary_percent > 0
	rollout.canary_percent <= facts.limit("deployment", "max_canary_percent")
	is_string(rollout.rollback_to)
	trim_space(rollout.rollback_to) != ""
	is_string(input.subject.digest.sha256)
	contains(rollout.rollback_to, input.subject.digest.sha256) == false
}

# METADATA
# title: No canary or no rollback
# description: The rollout is not declared, starts on too much, or goes back to itself.
# custom:
#   id: deployment.rollout
#   severity: medium
#   remediation: Declare canary_percent and rollback_to, another model than the one that is deployed
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0008}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf("the rollout is %s; profile %s asks for a canary of at most %s percent and a way back", [
		shown,
		facts.shown_profile,
		facts.shown_limit("deployment", "max_canary_percent"),
	])
}

# METADATA
# title: The rollout as text
# description: Always defined.
# scope: document
default shown := "not declared"

shown := substring(sprintf("%v", [input.requested.rollout]), 0, 300)
