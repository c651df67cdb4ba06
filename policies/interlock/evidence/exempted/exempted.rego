# METADATA
# title: The receipts were decided without exemptions
# description: A gate that was passed by break-glass was not passed; whether that is enough stands in the profile.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.exempted

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: No reason was set aside for one receipt
# description: Undefined unless the receipt has the list and it is empty.
untouched(receipt) if {
	is_array(receipt.exemptions)
	count(receipt.exemptions) == 0
}

# METADATA
# title: One receipt is accepted
# description: Undefined unless no reason was set aside, or the profile accepts that.
# scope: document
accepted(receipt) if untouched(receipt)

accepted(receipt) if {
	is_array(receipt.exemptions)
	facts.profile.evidence.accept_exempted == true
}

# METADATA
# title: A required gate was passed by an exemption
# description: The profile does not accept that, or the receipt does not say.
# custom:
#   id: evidence.exempted
#   severity: high
#   remediation: Repair what the gate found and run it again without the exemption
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0025}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.051}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 3.1}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some gate, receipt in receipts.chosen
	not accepted(receipt)
	message := sprintf(
		"the receipt of %v used exemptions: %v; profile %v does not accept that",
		[gate, facts.shown(object.get(receipt, "exemptions", "(not said)")), facts.shown_profile],
	)
}

# METADATA
# title: A required gate was passed by an exemption
# description: The profile accepts it.
# custom:
#   id: evidence.exempted
#   severity: high
#   remediation: Repair what the gate found before the exemption runs out
#   controls:
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some gate, receipt in receipts.chosen
	accepted(receipt)
	count(receipt.exemptions) > 0
	message := sprintf("the receipt of %v used exemptions: %v", [gate, facts.shown(receipt.exemptions)])
}
