# METADATA
# title: The model's data and image have their receipts too
# description: |-
#   A receipt of the training says what the model was made from. Each of these materials is judged by all the rules of
#   pack evidence, as if it were what is deployed, with the gates that the profile names for its role.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.lineage

import data.interlock.deployment.guard
import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Guards of deployments.
applies if guard.applies

# METADATA
# title: The lineage can be read
# description: Undefined unless each material has its role, its digest and its receipts; it may be absent.
# scope: document
readable if {
	is_array(input.lineage)
	every material in input.lineage {
		material.role in {"data", "code", "image"}
		is_string(material.subject.digest.sha256)
		regex.match(`^[0-9a-f]{64}$`, material.subject.digest.sha256)
		is_array(material.receipts)
	}
}

readable if {
	given := object.keys(input)
	not "lineage" in given
}

# METADATA
# title: A role is complete
# description: Undefined unless the profile asks for nothing of this role, or the lineage names a material of it.
# scope: document
complete(role) if count(guard.required_of(role)) == 0

complete(role) if {
	count(guard.required_of(role)) > 0
	count(guard.digests(role)) > 0
}

# METADATA
# title: The lineage says nothing of what the profile asks for
# description: Or it cannot be read, or the profile does not say what is asked of data and image.
# custom:
#   id: deployment.lineage
#   severity: high
#   remediation: Train with the guarded training step, and name the image by digest; both then stand in the lineage
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not readable
	message := "input.lineage is no list of materials with role, digest and receipts"
}

# METADATA
# title: A material of the model is not known
# description: The lineage names none of a role for which the profile asks receipts.
# custom:
#   id: deployment.lineage-incomplete
#   severity: high
#   remediation: Train with the guarded training step, and name the image by digest; both then stand in the lineage
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: EU AI Act, version: 2024/1689, id: Annex IV 2(d)}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some role in ["data", "image"]
	not complete(role)
	message := sprintf(
		"the lineage names no %s; profile %s asks for its receipts of %s",
		[role, facts.shown_profile, facts.shown_names("deployment", sprintf("required_of_%s", [role]))],
	)
}

# METADATA
# title: A material of the model lacks a sound receipt
# description: One of the rules of pack evidence refuses the receipts of the data or the image.
# custom:
#   id: deployment.lineage-receipts
#   severity: high
#   remediation: Run the named gate on this data or image, then train and deploy with exactly these bytes
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.013}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 3.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	readable
	some material in input.lineage
	some why in refused(material)
	message := sprintf("%s %s (sha256 %s): %s", [
		material.role,
		shown(material),
		substring(material.subject.digest.sha256, 0, 12),
		why,
	])
}

# METADATA
# title: Why the receipts of a material do not hold
# description: |-
#   Texts; empty when they hold or none is asked for. `evidence.complete` counts the receipts of the model itself.
refused(material) := {reason.message |
	wanted := guard.required_of(material.role)
	count(wanted) > 0
	receipts := material.receipts

	# regal ignore:with-outside-test-context,external-reference
	some reason in judged with input.receipts as receipts with data.interlock.receipts.required as wanted
	reason.id != "evidence.complete"
}

# METADATA
# title: What pack evidence says of the receipts in the input
# description: Reasons of all its rules.
judged contains data.interlock.evidence[_].deny[_]

# METADATA
# title: A material as text
# description: Always defined.
shown(material) := material.subject.name if {
	is_string(material.subject.name)
} else := "(unnamed)"
