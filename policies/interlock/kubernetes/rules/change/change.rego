# METADATA
# title: A receipt stays with what it opened
# description: An update may neither take the receipt off an object nor put other content under it.
package interlock.kubernetes.rules.change

import data.interlock.facts
import data.interlock.kubernetes.claims
import data.interlock.kubernetes.review
import data.interlock.kubernetes.workloads

# METADATA
# title: An update takes the receipt away
# description: The object carried one and no longer does, or a running pod gets another.
# custom:
#   id: kubernetes.receipt-removed
#   severity: high
#   remediation: Keep the annotations; create the object anew when it is to run something else
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
deny contains facts.reason(rego.metadata.rule(), message) if {
	claims.named(review.current)
	not kept
	message := sprintf("%s loses or changes the receipt that opened it", [review.shown])
}

# METADATA
# title: An update changes what runs under the same receipt
# description: |-
#   The content of an object that carries a receipt changed, and the receipt did not; also while a TrainJob waits,
#   because it would go on with the changed content. Numbers of replicas, and waiting itself, are no content.
# custom:
#   id: kubernetes.same-receipt
#   severity: high
#   remediation: Let the guard look at what is to run now, and annotate the object with the new receipt
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
deny contains facts.reason(rego.metadata.rule(), message) if {
	claims.named(review.wanted) == claims.named(review.current)
	some place in differing
	message := sprintf("%s changes %s under the receipt of what was there before", [review.shown, place])
}

# METADATA
# title: The object still carries a receipt
# description: Undefined unless it does, and, for a pod, it is the same.
# scope: document
kept if {
	claims.named(review.wanted)
	workloads.kind(review.wanted) != "/Pod"
}

kept if claims.named(review.wanted) == claims.named(review.current)

# METADATA
# title: Places whose value says what runs
# description: Where they differ between the object as it is and as it is wanted; the place is there in one of them.
differing contains place if {
	some place in (object.keys(running(review.wanted)) | object.keys(running(review.current)))
	object.get(running(review.wanted), place, null) != object.get(running(review.current), place, null)
}

# METADATA
# title: The fields that say what runs
# description: Images, commands, variables, volumes, and where a model or a runtime comes from, with their places.
running(manifest) := {workloads.place(path): value |
	some [path, key, value] in workloads.fields(manifest)
	key in content
}

# METADATA
# title: Fields that say what runs
# description: By name.
content := {
	"args",
	"command",
	"env",
	"envFrom",
	"image",
	"initializer",
	"runtime",
	"runtimeRef",
	"storage",
	"storageUri",
	"storageUris",
	"uri",
	"volumes",
}
