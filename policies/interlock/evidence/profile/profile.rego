# METADATA
# title: The receipts were issued under a profile that is strict enough
# description: An ALLOW of the dev profile says little to a guard of the strict one.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.profile

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: The profile of one receipt is accepted
# description: Undefined unless the receipt names a profile and the guard's profile lists what it accepts.
accepted(receipt) if receipt.profile in facts.names("evidence", "accept_profiles")

# METADATA
# title: A required receipt was issued under another profile
# description: The guard's profile does not accept that one.
# custom:
#   id: evidence.profile
#   severity: high
#   remediation: Run the gates with the same `profile` in their settings as the guard
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
	not accepted(receipt)
	message := sprintf(
		"the receipt of %v was issued under profile %v; profile %v accepts %v",
		[
			gate,
			object.get(receipt, "profile", "(none)"),
			facts.shown_profile,
			facts.shown_names("evidence", "accept_profiles"),
		],
	)
}
