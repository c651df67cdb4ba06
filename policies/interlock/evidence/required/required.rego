# METADATA
# title: Every required gate has a receipt for these bytes
# description: The profile says which gates a training or a deployment needs.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.required

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: The profile requires nothing
# description: A guard without a requirement would be an open door.
# custom:
#   id: evidence.nothing-required
#   severity: critical
#   remediation: Name the gates under `required` in the profile's data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not receipts.required
	message := sprintf("profile %v requires no gate before %v", [facts.shown_profile, facts.gate])
}

# METADATA
# title: A required receipt is missing
# description: Nobody has signed that these bytes passed the gate.
# custom:
#   id: evidence.required
#   severity: high
#   remediation: Run the gate on exactly these bytes, then this step again
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
	some gate in receipts.required
	not receipts.chosen[gate]
	message := sprintf("no receipt of %v for these bytes", [gate])
}

# METADATA
# title: The guard misses a receipt
# description: The guard counts what the step itself asks for, which may be more than the profile requires.
# custom:
#   id: evidence.complete
#   severity: medium
#   remediation: Run the missing gates on exactly these bytes, then this step again
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
	not facts.zero("receipts_missing")
	message := sprintf("the guard misses %v receipts", [facts.shown_measure("receipts_missing")])
}
