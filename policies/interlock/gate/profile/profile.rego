# METADATA
# title: The profile is known
# description: A profile that the bundle's data does not have allows nothing.
# schemas:
#   - input: schema.decision_input
package interlock.gate.profile

import data.interlock.facts

# METADATA
# title: Unknown profile
# description: Nothing is known of the profile that the deployment's settings name.
# custom:
#   id: gate.profile
#   severity: critical
#   remediation: Set `profile` in the settings to one that the policy bundle has, or add it to the bundle's data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
deny contains facts.reason(rego.metadata.rule(), message) if {
	not facts.profile
	message := sprintf(
		"profile %v is unknown or extends something unknown; the bundle has %v",
		[facts.shown_profile, concat(", ", sort(object.keys(data.interlock.profiles)))],
	)
}
