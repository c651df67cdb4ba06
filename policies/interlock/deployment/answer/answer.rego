# METADATA
# title: A listed person said yes
# description: |-
#   Judges what a person answered in an orchestrator, before a receipt is signed about it. Who may answer is data
#   (`data.interlock.approvers`), and nobody may by default. The gate reads the answer from the orchestrator's own
#   record; a name is worth what that orchestrator's login is worth.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.answer

import data.interlock.deployment.approval
import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Those of approval gates.
applies if {
	facts.stage == "gate"
	facts.gate == "approval"
}

# METADATA
# title: What is known of the answer
# description: Undefined unless the gate established it.
said := input.report.facts.approval if is_object(input.report.facts.approval)

# METADATA
# title: The person who answered
# description: Undefined unless the record names one.
person := said.by.name if {
	is_string(said.by.name)
	trim_space(said.by.name) != ""
}

# METADATA
# title: It was approved
# description: Undefined for every other answer, and for none.
given if said.choice == "approved"

# METADATA
# title: The question showed the bytes that are there now
# description: Undefined unless both digests are there and equal.
same_bytes if {
	is_string(input.subject.digest.sha256)
	said.asked.sha256 == input.subject.digest.sha256
}

# METADATA
# title: Policy lists the person for this step
# description: As the orchestrator spells the name; a list of another shape lists nobody.
listed if {
	said.step in {"training", "deployment"}
	is_array(data.interlock.approvers[said.step])
	some name in data.interlock.approvers[said.step]
	name == person
}

# METADATA
# title: The person is another than who set the run going
# description: Undefined unless it is known who did, and each of them goes by another name, in whatever letters.
another if {
	said.behind.known == true
	is_array(said.behind.names)
	folded := approval.fold(person)
	every name in said.behind.names {
		is_string(name)
		approval.fold(name) != folded
	}
}

# METADATA
# title: It was not approved
# description: Somebody rejected it, nobody answered in time, or the answer is none that was offered.
# custom:
#   id: deployment.answer-no
#   severity: high
#   remediation: Ask who rejected it why; run the gate again once that is repaired
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not given
	message := sprintf("the answer is %v, by %v", [shown_choice, shown_person])
}

# METADATA
# title: Other bytes were approved
# description: The bytes changed after the question was asked, or the question is one of an earlier try.
# custom:
#   id: deployment.answer-bytes
#   severity: critical
#   remediation: Find out who changed the bytes, then ask again in a new run
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not same_bytes
	message := sprintf("the question showed sha256:%v, the bytes are sha256:%v", [
		facts.shown_field(["report", "facts", "approval", "asked", "sha256"]),
		facts.shown_field(["subject", "digest", "sha256"]),
	])
}

# METADATA
# title: Policy does not list who answered
# description: The record names nobody, or somebody who may not approve this step.
# custom:
#   id: deployment.answer-person
#   severity: critical
#   remediation: Let somebody answer whom `data.interlock.approvers` lists, or let whoever keeps the policy list them
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0005}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0012}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not listed
	message := sprintf("%v may not approve a %v: data.interlock.approvers does not list them", [
		shown_person,
		facts.shown_field(["report", "facts", "approval", "step"]),
	])
}

# METADATA
# title: Who answered set the run going
# description: Nobody approves what they started, and while it is not known who started it, nobody approves it.
# custom:
#   id: deployment.answer-own
#   severity: critical
#   remediation: Let somebody else answer, in a run of which it is known who started it
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0005}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not another
	message := sprintf("%v is not known to be another than who set the run going (%v)", [shown_person, shown_behind])
}

# METADATA
# title: The answer as text
# description: Always defined.
shown_choice := facts.shown_field(["report", "facts", "approval", "choice"])

# METADATA
# title: The person as text
# description: Always defined.
# scope: document
default shown_person := "nobody whom the record names"

shown_person := sprintf("%q", [facts.shortened(person)])

# METADATA
# title: Who set the run going as text
# description: Always defined.
# scope: document
default shown_behind := "not known"

shown_behind := facts.shown(said.behind.names) if said.behind.known == true
