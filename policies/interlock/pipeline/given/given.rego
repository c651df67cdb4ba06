# METADATA
# title: The cluster gives a step only what the profile allows
# description: |-
#   A secret is a credential of whoever runs the pipeline; a claim or config map on a gate or a protected step brings
#   bytes that no gate saw, or replaces the code that looks.
package interlock.pipeline.given

import data.interlock.facts
import data.interlock.pipeline.modes
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: The profile allows a secret
# description: Undefined unless one of its patterns fits.
allowed_secret(name) if {
	some pattern in facts.names("pipeline", "given_secrets")
	glob.match(pattern, [], name)
}

# METADATA
# title: The profile allows a mount
# description: Undefined unless one of its patterns fits.
allowed_mount(mount) if {
	some pattern in facts.names("pipeline", "given_mounts")
	glob.match(pattern, [], mount)
}

# METADATA
# title: A step that makes or asks for evidence
# description: A gate, or a step that policy protects.
# scope: document
watched(step) if step.gate != ""

watched(step) if step.protects != ""

# METADATA
# title: What is given and not allowed
# description: Texts, each with the id of its step.
# scope: document
problems contains sprintf("step %s is given the secret %s", [step.id, secret]) if {
	some step in shape.steps
	some secret in step.secrets
	not allowed_secret(secret)
}

problems contains sprintf("step %s mounts the %s, which no gate looked at", [step.id, mount]) if {
	some step in shape.steps
	watched(step)
	some mount in step.mounts
	not allowed_mount(mount)
}

# METADATA
# title: A step is given a secret or a mount that the profile does not allow
# description: By the names that stand in the pipeline.
# custom:
#   id: pipeline.given
#   severity: high
#   remediation: Take it out, or let the profile list it under `pipeline.given_secrets` or `pipeline.given_mounts`
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	modes.enforced("given")
	some message in problems
}

# METADATA
# title: A step is given a secret or a mount that the profile does not allow (audited)
# description: The profile asks for a warning only.
# custom:
#   id: pipeline.given-audited
#   severity: medium
#   remediation: Take it out, or let the profile list it under `pipeline.given_secrets` or `pipeline.given_mounts`
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	modes.audited("given")
	some message in problems
}
