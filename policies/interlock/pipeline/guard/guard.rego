# METADATA
# title: A protected step asks for evidence as it starts
# description: |-
#   The edges of a pipeline hold nothing by themselves: whoever clears, retries or caches a task runs it without them.
#   So the step itself, or the orchestrator's plug-in, puts Interlock's guard in front of its work, and what is handed
#   to the guard as a receipt comes from a genuine gate.
package interlock.pipeline.guard

import data.interlock.facts
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: Something asks for evidence as a step starts
# description: Undefined unless the adapter found nothing that is missing.
asks(step) if step.unguarded == ""

# METADATA
# title: All that a step gets as receipts are receipts
# description: Undefined unless the adapter found no other.
evidenced(step) if count(step.foreign_receipts) == 0

# METADATA
# title: Nothing asks for evidence as a protected step starts
# description: There is no guard in front of it, or one that does not look at what the step uses.
# custom:
#   id: pipeline.guard
#   severity: critical
#   remediation: Put the guard in front of it (in Kubeflow, `gated(task, requires=[...])`)
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.013}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some step in shape.steps
	step.protects != ""
	not asks(step)
	message := sprintf("nothing asks for evidence as %s step %s starts: %s", [step.protects, step.id, step.unguarded])
}

# METADATA
# title: What a step gets as evidence is no receipt of a gate
# description: An importer, another task or another output stands where the receipt of a genuine gate belongs.
# custom:
#   id: pipeline.foreign-receipt
#   severity: critical
#   remediation: Hand over the output `receipt` of the gate itself, or of `verify` for one that is already there
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some step in shape.steps
	not evidenced(step)
	message := sprintf("step %s gets as evidence what is no gate's receipt: %s", [
		step.id,
		concat(", ", step.foreign_receipts),
	])
}
