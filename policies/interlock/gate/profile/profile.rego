# METADATA
# title: The profile is known
# description: A profile that the bundle's data does not have allows nothing.
package interlock.gate.profile

import data.interlock.facts

# METADATA
# title: Unknown profile
# description: Nothing is known of the profile that the deployment's settings name.
# custom:
#   id: gate.profile
#   severity: critical
#   remediation: Set `profile` in the settings to one that the policy bundle has, or add it to the bundle's data
#   controls: []
deny contains facts.reason(rego.metadata.rule(), message) if {
	not facts.profile
	message := sprintf(
		"profile %v is unknown; the bundle has %v",
		[facts.shown_profile, concat(", ", sort(object.keys(data.interlock.profiles)))],
	)
}
