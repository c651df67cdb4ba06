# METADATA
# title: The newest receipt allows
# description: A later DENY for the same bytes takes back an earlier ALLOW.
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
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some gate, receipt in receipts.chosen
	not allows(receipt)
	message := sprintf("the newest receipt of %v says %v", [gate, object.get(receipt, "verdict", "nothing")])
}
