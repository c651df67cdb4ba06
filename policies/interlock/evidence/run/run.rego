# METADATA
# title: The receipts come from this run
# description: Where the profile asks for it, receipts of an earlier run do not open the guard of this one.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.run

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: A required receipt comes from another run
# description: The profile asks for receipts of the same run.
# custom:
#   id: evidence.run
#   severity: high
#   remediation: Run the gate in the same run of the pipeline as the step that it protects
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0109}
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
	not receipts.right_run(receipt)
	message := sprintf(
		"the receipt of %v comes from another run; profile %v asks for the same run",
		[gate, facts.shown_profile],
	)
}
