# METADATA
# title: The newest receipt allows
# description: A later DENY for the same bytes takes back an earlier ALLOW.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.verdict

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: One receipt allows
# description: Undefined unless it says ALLOW.
allows(receipt) if receipt.verdict == "ALLOW"

# METADATA
# title: A required gate did not allow
# description: Its newest receipt for these bytes says DENY or UNDECIDED.
# custom:
#   id: evidence.verdict
#   severity: critical
#   remediation: Repair what that gate found and run it again; `interlock verify SUBJECT` lists the receipts
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
	not allows(receipt)
	message := sprintf("the newest receipt of %v says %v", [gate, object.get(receipt, "verdict", "nothing")])
}
