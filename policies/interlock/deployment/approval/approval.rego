# METADATA
# title: Somebody else approved it
# description: |-
#   Approvals are verified before policy is asked; `by` is the name of the trusted key that signed. Where an approval
#   has `via`, a gate signed it for a person who answered there, `by` is that person, and policy must still list them.
#   Here they are counted: for exactly this model, for a deployment, in force now, and by somebody who is not the
#   author. The author is who the step says it is, so that name must come from where the author cannot write it.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.approval

import data.interlock.deployment.guard
import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards of deployments.
applies if guard.applies

# METADATA
# title: The author
# description: Undefined unless the step names one.
author := folded if {
	is_string(input.requested.author)
	folded := fold(input.requested.author)
	folded != ""
}

# METADATA
# title: One spelling of a name
# description: A name in other letters is the same name.
fold(name) := lower(trim_space(name))

# METADATA
# title: An approval counts
# description: Undefined unless every field is there and it is for this model, this step and now.
counts(approval) if {
	is_string(approval.by)
	fold(approval.by) != ""
	fold(approval.by) != author
	is_string(approval.keyid)
	approval.keyid != ""
	approval.step == "deployment"
	approval.digest.sha256 == input.subject.digest.sha256
	in_force(approval)
	good_key(approval)
	vouched(approval)
}

# METADATA
# title: Somebody answers for the name
# description: |-
#   The key itself where the person signed, as trusted keys bear their owners' names; the list of approvers where a gate
#   signed for a person, so that whoever was taken off the list approves nothing any more.
# scope: document
vouched(approval) if {
	fields := object.keys(approval)
	not "via" in fields
}

vouched(approval) if {
	is_string(approval.via)
	is_array(data.interlock.approvers.deployment)
	some name in data.interlock.approvers.deployment
	name == approval.by
}

# METADATA
# title: An approval is in force
# description: Undefined unless it was given before now, but for the profile's clock skew, and has not expired.
in_force(approval) if {
	receipts.issued(approval) <= receipts.now + (facts.limit("evidence", "clock_skew_seconds") * 1000000000)
	receipts.now < receipts.expires(approval)
}

# METADATA
# title: The key of an approval is good enough
# description: A development key where the profile accepts receipts that are signed by one.
# scope: document
good_key(approval) if approval.dev == false

good_key(approval) if {
	approval.dev == true
	facts.profile.evidence.accept_dev_receipts == true
}

# METADATA
# title: Who approved
# description: Names, each once.
approvers contains fold(approval.by) if {
	some approval in input.approvals
	counts(approval)
}

# METADATA
# title: Whose keys approved
# description: |-
#   One key under two names is one approver, except for the key of a gate, which signs for whoever answered there: two
#   people whom the orchestrator tells apart are two.
# scope: document
keys contains approval.keyid if {
	some approval in input.approvals
	counts(approval)
	fields := object.keys(approval)
	not "via" in fields
}

keys contains sprintf("%v for %v", [approval.keyid, fold(approval.by)]) if {
	some approval in input.approvals
	counts(approval)
	is_string(approval.via)
}

# METADATA
# title: There are enough approvals
# description: Undefined unless the profile says how many, and that many people with that many keys approved.
sound if {
	needed := facts.limit("deployment", "approvals")
	count(approvers) >= needed
	count(keys) >= needed
}

# METADATA
# title: Not enough others approved
# description: Too few people other than the author approved this model for deployment.
# custom:
#   id: deployment.approval
#   severity: high
#   remediation: Let somebody other than the author approve exactly this model, and name the author in the step
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0005}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0012}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM03:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM06:2025"}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf("%d others than the author (%s) approved this model; profile %s asks for %s", [
		min([count(approvers), count(keys)]),
		shown_author,
		facts.shown_profile,
		facts.shown_limit("deployment", "approvals"),
	])
}

# METADATA
# title: The author as text
# description: Always defined.
# scope: document
default shown_author := "not named, so that nobody is known to be another"

shown_author := sprintf("%q", [author])
