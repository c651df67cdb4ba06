# METADATA
# title: One receipt, one model
# description: A receipt speaks for the bytes of one model, so an InferenceService loads one.
package interlock.kubernetes.rules.model

import data.interlock.facts
import data.interlock.kubernetes.review
import data.interlock.kubernetes.workloads

# METADATA
# title: Which objects this rule judges
# description: InferenceServices.
applies if workloads.kind(review.wanted) == "serving.kserve.io/InferenceService"

# METADATA
# title: Where models come from
# description: Each place that a predictor, a transformer or an explainer loads from.
sources := {value |
	some [_, key, value] in workloads.fields(review.wanted)
	key in {"storage", "storageUri"}
} | {place |
	some [_, "storageUris", value] in workloads.fields(review.wanted)
	some place in listed(value)
}

# METADATA
# title: The entries of a list
# description: What is no list is one entry, so that it counts.
listed(value) := value if {
	is_array(value)
} else := [value]

# METADATA
# title: An InferenceService loads more than one model
# description: Then one receipt cannot say what it serves; a model inside of the image is the image's receipt's affair.
# custom:
#   id: kubernetes.one-model
#   severity: high
#   remediation: Serve one model by one InferenceService, named by storageUri
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
	applies
	count(sources) > 1
	message := sprintf("%s loads %d models under one receipt", [review.shown, count(sources)])
}
