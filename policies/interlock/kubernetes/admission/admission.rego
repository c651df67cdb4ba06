# METADATA
# title: Admission to a cluster
# description: |-
#   What OPA answers to the API server's validating webhook. Ask for `interlock/kubernetes/admission/response`, by
#   `POST /v0/data/...` or as the server's `default_decision`. An organisation's own rule is a package of its own under
#   `interlock.kubernetes.rules` with a `deny` of the same form.
# schemas:
#   - input: schema.admission_review
package interlock.kubernetes.admission

import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.review

# METADATA
# title: Reasons to refuse
# description: Those of all rules.
deny contains data.interlock.kubernetes.rules[_].deny[_]

# METADATA
# title: Whether the object may be created or changed
# description: False unless the review can be read and no rule refuses. No rule speaks of deletions; they start nothing.
# scope: document
default allow := false

allow if {
	review.sound
	count(deny) == 0
}

# METADATA
# title: What the client is told although its object is admitted
# description: Each of at most 120 characters, as the API server asks.
warnings contains "interlock: the receipt's form was checked, not the receipt" if {
	allow
	parameters.profile.kubernetes.receipts == "present"
	not data.interlock.kubernetes.claims.fed
	count(data.interlock.kubernetes.claims.causes(review.wanted)) > 0
}

# METADATA
# title: The answer to the API server
# description: An AdmissionReview of version `admission.k8s.io/v1`, for the uid that was asked.
# entrypoint: true
response := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": object.union(
		{"uid": uid, "allowed": allow, "warnings": sort(warnings)},
		status,
	),
}

# METADATA
# title: The uid that was asked
# description: Always defined; the API server refuses an answer without its uid.
# scope: document
default uid := ""

uid := input.request.uid if is_string(input.request.uid)

# METADATA
# title: Why it is refused
# description: Always defined; empty when it is not.
# scope: document
default status := {}

status := {"status": {"code": 403, "reason": "Forbidden", "message": message}} if not allow

# METADATA
# title: All reasons in one text
# description: At most 4000 characters, because it stands in events and in the terminal of whoever asked.
message := substring(sprintf("interlock: %s", [concat("; ", sort(texts))]), 0, 4000)

# METADATA
# title: The reasons as texts
# description: With their ids, by which the documentation names them.
texts contains sprintf("[%s] %s", [reason.id, reason.message]) if some reason in deny
