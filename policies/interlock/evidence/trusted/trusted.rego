# METADATA
# title: The signer may speak for this gate
# description: The key ring of the guard knows for which gates a key counts; here policy can narrow that by key id.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.trusted

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: The signer of one receipt may speak for its gate
# description: Undefined unless the profile leaves that to the key ring, or lists the key under the gate.
# scope: document
may_speak(_) if facts.off("evidence", "signers")

may_speak(receipt) if {
	is_string(receipt.keyid)
	is_array(facts.profile.evidence.signers[receipt.gate])
	receipt.keyid in facts.profile.evidence.signers[receipt.gate]
}

# METADATA
# title: The signer may not speak for this gate
# description: The profile does not list the key under the gate.
# custom:
#   id: evidence.untrusted-signer
#   severity: critical
#   remediation: Sign with a key that `evidence.signers` lists for this gate, then run the gate again
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
	not may_speak(receipt)
	message := sprintf(
		"the receipt of %v is signed with key %v; profile %v does not list it for that gate",
		[gate, facts.shown(object.get(receipt, "keyid", "(none)")), facts.shown_profile],
	)
}
