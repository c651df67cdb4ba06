# METADATA
# title: The receipts were decided by a known policy
# description: The bundle that allowed must be the one in use, or one that the settings name.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.bundle

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: The bundle behind one receipt is known
# description: Undefined unless the guard says so.
known(receipt) if receipt.bundle_known == true

# METADATA
# title: An unknown policy allowed
# description: The receipt names a policy bundle that this deployment does not know.
# custom:
#   id: evidence.bundle
#   severity: high
#   remediation: Run the gate again, or name the digest under `known_bundles` in the settings while a policy rolls out
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
	some gate, receipt in receipts.chosen
	not known(receipt)
	message := sprintf("the receipt of %v was decided by a policy bundle that is not known here", [gate])
}
