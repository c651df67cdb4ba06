# METADATA
# title: Nothing is installed as a step starts
# description: |-
#   A digest pins an image; what a step installs or fetches as it starts is another program on every run. kfp does it
#   for every lightweight component unless `install_kfp_package=False`.
package interlock.pipeline.packages

import data.interlock.facts
import data.interlock.pipeline.modes
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: A step runs what its image holds
# description: Undefined unless the adapter found nothing else.
settled(step) if count(step.installs) == 0

# METADATA
# title: What is installed at the start
# description: Texts, each with the id of its step.
problems contains sprintf("step %s installs %s as it starts", [step.id, concat(", ", step.installs)]) if {
	some step in shape.steps
	not settled(step)
}

# METADATA
# title: A step installs packages as it starts
# description: Whoever can publish one of them runs code in the pipeline.
# custom:
#   id: pipeline.packages
#   severity: high
#   remediation: Build it into the image (in Kubeflow, `packages_to_install=[]` and `install_kfp_package=False`)
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
	modes.enforced("packages")
	some message in problems
}

# METADATA
# title: A step installs packages as it starts (audited)
# description: The profile asks for a warning only.
# custom:
#   id: pipeline.packages-audited
#   severity: medium
#   remediation: Build it into the image (in Kubeflow, `packages_to_install=[]` and `install_kfp_package=False`)
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
	modes.audited("packages")
	some message in problems
}
