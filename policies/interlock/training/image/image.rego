# METADATA
# title: The training runs in a pinned image of a permitted registry
# description: A tag can point to other bytes tomorrow; a digest cannot.
# schemas:
#   - input: schema.decision_input
package interlock.training.image

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: |-
#   Guards of a training: judged before anything runs.
applies if {
	facts.stage == "guard"
	facts.gate == "training"
}

# METADATA
# title: The form of a pinned image
# description: |-
#   Registry, path without `..`, perhaps a tag, and the digest. The registry is always named, so that no default can
#   be meant.
pinned_form := concat("", [
	`^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(\.[a-z0-9-]+)*:[0-9]+)`,
	`(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?@sha256:[0-9a-f]{64}$`,
])

# METADATA
# title: Pinned by digest
# description: Undefined unless the step names an image in that form.
pinned if {
	is_string(input.requested.image)
	regex.match(pinned_form, input.requested.image)
}

# METADATA
# title: Pinned and permitted
# description: Undefined unless the profile does not ask, or the image is pinned and in a permitted registry.
# scope: document
sound if facts.off("training", "registries")

sound if {
	pinned
	facts.permitted_place("training", "registries", input.requested.image)
}

# METADATA
# title: The image is not pinned, or of another registry
# description: Or the step does not say in which image it runs.
# custom:
#   id: training.image
#   severity: high
#   remediation: Name the image as registry/name@sha256:digest, from a registry that `training.registries` names
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.004}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.001}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"image %v; profile %v permits images by digest from %v",
		[
			facts.shown_field(["requested", "image"]),
			facts.shown_profile,
			facts.shown_permitted("training", "registries"),
		],
	)
}
