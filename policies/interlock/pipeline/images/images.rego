# METADATA
# title: Steps run known images
# description: Pinned as the profile asks, and from registries that it allows. A step may have no image of its own.
package interlock.pipeline.images

import data.interlock.facts
import data.interlock.kubernetes.images
import data.interlock.pipeline.modes
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: What is wrong with the images of the steps
# description: Texts, each with the id of its step.
problems contains sprintf("step %s: %s", [step.id, problem]) if {
	some step in shape.steps
	step.image != ""
	some problem in images.problems(step.image)
}

# METADATA
# title: A step runs an image that may change or comes from elsewhere
# description: Whoever can push to its name can run code in the pipeline.
# custom:
#   id: pipeline.images
#   severity: high
#   remediation: Pin the image by digest, from a registry that the profile lists under images.registries
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	modes.enforced("images")
	some message in problems
}

# METADATA
# title: A step runs an image that may change or comes from elsewhere (audited)
# description: The profile asks for a warning only.
# custom:
#   id: pipeline.images-audited
#   severity: medium
#   remediation: Pin the image by digest, from a registry that the profile lists under images.registries
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	modes.audited("images")
	some message in problems
}
