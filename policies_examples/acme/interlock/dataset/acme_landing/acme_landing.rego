# METADATA
# title: No training on data of the landing zone
# description: |-
#   What suppliers drop into the landing zone has not been through Acme's intake. The zones are in `data.acme`, apart
#   from the rule.
package interlock.dataset.acme_landing

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Both looks at a dataset.
applies if {
	facts.stage == "gate"
	facts.gate in {"data-validation", "data-poisoning"}
}

# METADATA
# title: The data lies elsewhere
# description: Undefined unless the zones are named and the dataset says where it is.
settled if {
	is_string(input.subject.uri)
	is_array(data.acme.landing_zones)
	count(data.acme.landing_zones) > 0
	every zone in data.acme.landing_zones {
		is_string(zone)
		startswith(input.subject.uri, zone) == false
	}
}

# METADATA
# title: Data of the landing zone
# description: The dataset lies in the landing zone, or does not say where it is.
# custom:
#   id: dataset.acme-landing
#   severity: high
#   remediation: Let the intake move the data into the lake, and name it there
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0019}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not settled
	message := sprintf("%v lies in the landing zone, or nowhere", [object.get(input, ["subject", "uri"], "(none)")])
}
