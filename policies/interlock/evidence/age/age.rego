# METADATA
# title: The receipts are fresh
# description: Issued not long ago, not in the future, and not expired.
# schemas:
#   - input: schema.decision_input
package interlock.evidence.age

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Which reports this rule judges
# description: Guards.
applies if receipts.guarded

# METADATA
# title: Seconds since a receipt was issued
# description: Undefined unless both times can be read.
seconds_since(receipt) := (receipts.now - receipts.issued(receipt)) / 1000000000

# METADATA
# title: One receipt is fresh
# description: Undefined unless times and limits are there. Clocks of two machines may differ by the profile's skew.
fresh(receipt) if {
	seconds_since(receipt) <= facts.limit("evidence", "max_age_seconds")
	seconds_since(receipt) >= 0 - facts.limit("evidence", "clock_skew_seconds")
	receipts.now < receipts.expires(receipt)
}

# METADATA
# title: A required receipt is not fresh
# description: Too old for the profile, expired, or issued in the future.
# custom:
#   id: evidence.age
#   severity: high
#   remediation: Run the gate again; if the receipt is of the future, set the clocks
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
	not fresh(receipt)
	message := sprintf(
		"the receipt of %v was issued %v and expires %v; now is %v, and profile %v accepts %v seconds",
		[
			gate,
			object.get(receipt, "issued", "(none)"),
			object.get(receipt, "expires", "(none)"),
			object.get(input, "now", "(none)"),
			facts.shown_profile,
			facts.shown_limit("evidence", "max_age_seconds"),
		],
	)
}
