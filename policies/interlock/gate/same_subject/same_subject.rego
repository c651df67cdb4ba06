# METADATA
# title: One document, one subject
# description: The envelope of the input document and the report inside it speak of the same gate and the same bytes.
# schemas:
#   - input: schema.decision_input
package interlock.gate.same_subject

import data.interlock.facts

# METADATA
# title: The report is about the subject that is asked about
# description: Gate and digest are texts and equal in both places.
sound if {
	facts.gate == input.report.gate
	is_string(input.subject.digest.sha256)
	regex.match(`^[0-9a-f]{64}$`, input.subject.digest.sha256)
	input.subject.digest.sha256 == input.report.subject.digest.sha256
}

# METADATA
# title: The report speaks of something else
# description: Allowing on somebody else's report would bind the receipt to bytes that nobody looked at.
# custom:
#   id: gate.same-subject
#   severity: critical
#   remediation: Run the gate again on this subject; a report cannot be moved to another one
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
deny contains facts.reason(rego.metadata.rule(), message) if {
	not sound
	message := sprintf(
		"asked about %v of sha256 %v, but the report is %v of sha256 %v",
		[
			object.get(input, "gate", "(none)"),
			object.get(input, ["subject", "digest", "sha256"], "(none)"),
			object.get(input, ["report", "gate"], "(none)"),
			object.get(input, ["report", "subject", "digest", "sha256"], "(none)"),
		],
	)
}
