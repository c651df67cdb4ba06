# METADATA
# title: The review can be read
# description: What is not an AdmissionReview of the known form is refused; nothing else could be said of it.
package interlock.kubernetes.rules.shape

import data.interlock.facts
import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.review

# METADATA
# title: The review cannot be read
# description: Another version, another operation, an object of another kind, or a profile that is not there.
# custom:
#   id: kubernetes.review
#   severity: critical
#   remediation: Let the webhook send AdmissionReview v1 for CREATE and UPDATE, and name a known profile in the bundle
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	not review.sound
	message := sprintf(
		"not an AdmissionReview (admission.k8s.io/v1) of CREATE, UPDATE or DELETE that can be judged by profile %s",
		[parameters.shown],
	)
}
