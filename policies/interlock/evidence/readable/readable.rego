# METADATA
# title: The receipts can be read
# description: A receipt with a missing or mistyped field could hide that it refuses.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.readable

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: Every receipt has its fields
# description: Undefined unless the list is there and each entry has every field that the rules of this pack read.
sound if {
	is_array(input.receipts)
	every receipt in input.receipts {
		is_string(receipt.gate)
		receipt.verdict in {"ALLOW", "DENY", "UNDECIDED"}
		is_string(receipt.issued)
		is_string(receipt.expires)
		is_string(receipt.profile)
		is_boolean(receipt.dev)
		is_boolean(receipt.same_run)
		is_boolean(receipt.bundle_known)
	}
}

# METADATA
# title: A receipt cannot be read
# description: A field that policy reads is missing or has another type.
# custom:
#   id: evidence.readable
#   severity: critical
#   remediation: Use the same release of Interlock in the gates and in the guard
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML06:2023"}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := "a receipt lacks one of gate, verdict, issued, expires, profile, dev, same_run, bundle_known"
}
