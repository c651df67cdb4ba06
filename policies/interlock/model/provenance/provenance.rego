# METADATA
# title: Somebody answers for how the model was made
# description: |-
#   A model that came from outside brings SLSA provenance; one that was trained here has a receipt of its training.
# schemas:
#   - input: schema.decision_input
package interlock.model.provenance

import data.interlock.evidence.signer
import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files, and guards of a deployment.
# scope: document
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

applies if {
	facts.stage == "guard"
	facts.gate == "deployment"
}

# METADATA
# title: Built by a permitted builder
# description: |-
#   Undefined unless the profile does not ask, or the gate verified the statement of a permitted builder.
# scope: document
built if facts.off("model", "builders")

built if {
	input.report.facts.model.provenance.verified == true
	facts.permitted("model", "builders", input.report.facts.model.provenance.builder)
}

# METADATA
# title: Trained here
# description: |-
#   Undefined unless the profile does not ask, or the newest receipt of a training for these bytes allows, and its
#   signer and its policy are good enough.
# scope: document
trained if facts.profile.model.training_receipt == false

trained if {
	facts.profile.model.training_receipt == true
	is_array(input.receipts)
	[_, _, receipt] := max(receipts.dated("training"))
	receipt.verdict == "ALLOW"
	receipt.bundle_known == true
	signer.good_signer(receipt)
}

# METADATA
# title: The model brings no provenance
# description: No statement, one that does not verify, or another builder.
# custom:
#   id: model.provenance
#   severity: high
#   remediation: Get the model with SLSA provenance of a builder that `model.builders` names, or train it here
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.003}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML10:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
#     - {framework: SLSA, version: "1.2", id: Build L1}
#     - {framework: SLSA, version: "1.2", id: Build L2}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	facts.stage == "gate"
	not built
	message := sprintf(
		"provenance verified: %v, builder %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "model", "provenance", "verified"]),
			facts.shown_field(["report", "facts", "model", "provenance", "builder"]),
			facts.shown_profile,
			facts.shown_permitted("model", "builders"),
		],
	)
}

# METADATA
# title: The model has no receipt of its training
# description: Nobody has signed how these bytes were made.
# custom:
#   id: model.training-receipt
#   severity: high
#   remediation: Train the model behind Interlock, so that a receipt binds it to its data and code
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.003}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0018.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML10:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 11}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	facts.stage == "guard"
	not trained
	message := sprintf("no receipt of a training for these bytes; profile %v asks for one", [facts.shown_profile])
}
