# METADATA
# title: No variable steers what looks
# description: |-
#   Variables that say where code or settings come from turn a gate or a guard into another program, or into one with
#   another profile. Settings of Interlock belong to the deployment, not to the pipeline.
package interlock.pipeline.environment

import data.interlock.facts
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: A variable that steers
# description: Interlock's own on every step; those of Python and of the loader where a step makes or asks for evidence.
# scope: document
steers(_, name) if startswith(name, "INTERLOCK_")

steers(step, name) if {
	regex.match(`^(PYTHON|LD_)|^PATH$`, name)
	evidential(step)
}

# METADATA
# title: A step that makes or asks for evidence
# description: A gate, or a step that policy protects.
# scope: document
evidential(step) if step.gate != ""

evidential(step) if step.protects != ""

# METADATA
# title: A variable steers what looks
# description: The step could run other code under the gate's name, or by other settings.
# custom:
#   id: pipeline.environment
#   severity: high
#   remediation: Take the variable out; settings of Interlock come from the deployment
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some step in shape.steps
	some setting in step.settings
	setting.kind == "env"
	steers(step, setting.name)
	message := sprintf("step %s is given the variable %s, which steers what looks", [step.id, setting.name])
}
