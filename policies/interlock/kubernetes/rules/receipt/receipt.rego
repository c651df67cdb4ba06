# METADATA
# title: What uses a GPU, trains or serves names its receipt
# description: |-
#   Pods and objects of any kind that ask for GPUs, TrainJobs that are not suspended, and InferenceServices.
package interlock.kubernetes.rules.receipt

import data.interlock.facts
import data.interlock.kubernetes.claims
import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.review

# METADATA
# title: No receipt opens this object
# description: It carries none in the right form, or one that is not known here.
# custom:
#   id: kubernetes.receipt
#   severity: critical
#   remediation: Let the guard of the step annotate the object with its receipt and the digest of what it opens
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
deny contains facts.reason(rego.metadata.rule(), message) if {
	causes := claims.causes(review.wanted)
	count(causes) > 0
	problem := claims.problem(review.wanted)
	problem != ""
	message := sprintf(
		"%s needs a receipt (%s): %s (profile %s)",
		[review.shown, concat("; ", sort(causes)), problem, parameters.shown],
	)
}
