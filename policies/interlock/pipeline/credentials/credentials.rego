# METADATA
# title: No credentials in the pipeline's text
# description: |-
#   Judged by the names of variables, parameters and arguments, and by the shape of their values. The values themselves
#   are not in the report, because they would then stand in the evidence as well.
package interlock.pipeline.credentials

import data.interlock.facts
import data.interlock.pipeline.modes
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: A setting holds no credential
# description: Undefined unless its value has a harmless shape, and is no literal where the name speaks of a credential.
# scope: document
harmless(setting) if {
	setting.shape in {"empty", "reference"}
	setting.shape in shapes
}

harmless(setting) if {
	setting.shape in shapes
	plain(setting.name)
}

# METADATA
# title: Shapes that say nothing of a credential
# description: Undefined unless the profile lists them.
shapes := facts.names("pipeline", "harmless_shapes")

# METADATA
# title: A name that does not speak of a credential
# description: Undefined unless the profile says which names do. Tokens of a language model's vocabulary are no secrets.
# scope: document
plain(name) if lower(name) in facts.names("pipeline", "plain_names")

plain(name) if {
	expressions := facts.names("pipeline", "credential_names")
	count(expressions) > 0
	every expression in expressions {
		regex.match(expression, spelled(name)) == false
	}
}

# METADATA
# title: A name with its words apart
# description: In small letters, so that `apiKey`, `API_KEY` and `api-key` are one.
spelled(name) := lower(regex.replace(name, `([a-z0-9])([A-Z])`, `${1}_${2}`))

# METADATA
# title: What looks like a credential
# description: Texts, each with its step, its kind and its name; the value is not known here.
problems contains sprintf("step %s: %s %s (%s)", [step.id, setting.kind, setting.name, setting.shape]) if {
	some step in shape.steps
	some setting in step.settings
	not harmless(setting)
}

# METADATA
# title: A credential stands in the pipeline's text
# description: Everybody who can read the pipeline can use it.
# custom:
#   id: pipeline.credentials
#   severity: critical
#   remediation: Take it from a secret store or a mounted secret, and change the credential, because it has been seen
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0005}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	modes.enforced("credentials")
	some problem in problems
	message := sprintf("this looks like a credential in clear: %s", [problem])
}

# METADATA
# title: A credential stands in the pipeline's text (audited)
# description: The profile asks for a warning only.
# custom:
#   id: pipeline.credentials-audited
#   severity: high
#   remediation: Take it from a secret store or a mounted secret, and change the credential, because it has been seen
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0005}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	modes.audited("credentials")
	some problem in problems
	message := sprintf("this looks like a credential in clear: %s", [problem])
}
