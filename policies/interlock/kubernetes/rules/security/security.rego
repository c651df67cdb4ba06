# METADATA
# title: Pods keep to the restricted standard
# description: For pods, for everything with a pod template, and for the patches of TrainJobs and InferenceServices.
package interlock.kubernetes.rules.security

import data.interlock.facts
import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.restricted
import data.interlock.kubernetes.review

# METADATA
# title: A pod is not restricted
# description: One reason for each thing that is wrong.
# custom:
#   id: kubernetes.pod-security
#   severity: high
#   remediation: Set the named field; the Pod Security Standards' profile restricted says what each is for
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM03:2026"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM06:2025"}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
#     - {framework: Kubernetes Pod Security Standards, version: "1.34", id: restricted}
#     - {framework: NSA/CISA Kubernetes Hardening, version: "1.2", id: Pod security}
#     - {framework: NSA/CISA Kubernetes Hardening, version: "1.2", id: Authentication and authorization}
deny contains facts.reason(rego.metadata.rule(), message) if {
	some problem in restricted.problems(review.wanted)
	message := sprintf("%s: %s (profile %s)", [review.shown, problem, parameters.shown])
}
