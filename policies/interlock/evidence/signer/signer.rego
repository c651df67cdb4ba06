# METADATA
# title: The signer is good enough for the profile
# description: A development key lies where tasks can read it; whoever reads it can sign anything.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.signer

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: The signer of one receipt is good enough
# description: Undefined unless the receipt says whether its key is a development key.
# scope: document
good_signer(receipt) if receipt.dev == false

good_signer(receipt) if {
	receipt.dev == true
	facts.profile.evidence.accept_dev_receipts == true
}

# METADATA
# title: A development key signed a required receipt
# description: The profile does not accept development keys.
# custom:
#   id: evidence.signer
#   severity: critical
#   remediation: Set `signer` to a key in a KMS or HSM in the settings of the gates, then run them again
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0013}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some gate, receipt in receipts.chosen
	not good_signer(receipt)
	message := sprintf(
		"the receipt of %v is signed with a development key; profile %v does not accept that",
		[gate, facts.shown_profile],
	)
}

# METADATA
# title: A development key signed a required receipt
# description: The profile accepts it.
# custom:
#   id: evidence.signer
#   severity: medium
#   remediation: Set `signer` to a key in a KMS or HSM before this protects anything of value
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0013}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
warn contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some gate, receipt in receipts.chosen
	receipt.dev == true
	good_signer(receipt)
	message := sprintf("the receipt of %v is signed with a development key", [gate])
}
