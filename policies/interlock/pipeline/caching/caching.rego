# METADATA
# title: Gates look each time
# description: A cached gate gives the verdict of an earlier run for whatever is there now.
package interlock.pipeline.caching

import data.interlock.facts
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: A step is run each time
# description: Undefined unless it says so.
fresh(step) if step.cached == false

# METADATA
# title: A gate is cached
# description: The orchestrator may take its result from an earlier run.
# custom:
#   id: pipeline.gate-cached
#   severity: high
#   remediation: Switch caching off for the gate (in Kubeflow, `task.set_caching_options(False)`)
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0109}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some step in shape.steps
	step.gate != ""
	not fresh(step)
	message := sprintf("gate %s (%s) is cached: an old verdict would stand for new bytes", [step.id, step.gate])
}
