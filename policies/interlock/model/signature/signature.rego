# METADATA
# title: The model is signed by someone the profile permits
# description: A signature says whose model it is, and that nobody changed it since.
# schemas:
#   - input: schema.decision_input
package interlock.model.signature

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Scans of model files.
applies if {
	facts.stage == "gate"
	facts.gate == "artifact-scan"
}

# METADATA
# title: Signed and permitted
# description: Undefined unless the profile does not ask, or the gate verified the signature of a permitted signer.
# scope: document
sound if facts.off("model", "signers")

sound if {
	input.report.facts.model.signature.verified == true
	facts.permitted("model", "signers", input.report.facts.model.signature.signer)
}

# METADATA
# title: The model is not signed by a permitted signer
# description: No signature, one that does not verify, or another signer.
# custom:
#   id: model.signature
#   severity: high
#   remediation: Sign the model with a key that `model.signers` in the profile names, then scan it again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.003}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0058}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0013}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML10:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MAP 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.10.3}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := sprintf(
		"signature verified: %v, signer %v; profile %v permits %v",
		[
			facts.shown_field(["report", "facts", "model", "signature", "verified"]),
			facts.shown_field(["report", "facts", "model", "signature", "signer"]),
			facts.shown_profile,
			facts.shown_permitted("model", "signers"),
		],
	)
}
