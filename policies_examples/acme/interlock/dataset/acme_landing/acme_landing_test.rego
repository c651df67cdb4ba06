# METADATA
# title: Tests of dataset.acme-landing
package interlock.dataset.acme_landing_test

import data.interlock.dataset.acme_landing
import data.interlock.examples_test as examples

zones := ["s3://acme-landing/", "file:///lake/landing/"]

test_data_of_the_lake_passes if {
	every name in ["validation", "poisoning"] {
		acme_landing.deny == set() with input as examples.allowed[name] with data.acme.landing_zones as zones
	}
}

test_data_of_the_landing_zone_is_denied if {
	every place in ["s3://acme-landing/2026/train.parquet", "file:///lake/landing/train.parquet"] {
		changed := examples.changed(examples.validation, "subject/uri", place)
		{reason.message | some reason in acme_landing.deny} == {sprintf(
			"%v lies in the landing zone, or nowhere",
			[place],
		)} with input as changed with data.acme.landing_zones as zones
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every path in ["subject", "subject/uri"] {
		every document in examples.spoiled(examples.validation, path) {
			count(acme_landing.deny) > 0 with input as document with data.acme.landing_zones as zones
		}
	}
}

test_the_zones_must_be_named if {
	every wrong in [null, [], "s3://acme-landing/", [1], {}] {
		count(acme_landing.deny) > 0 with input as examples.validation with data.acme.landing_zones as wrong
	}
}

test_other_gates_are_not_judged if acme_landing.deny == set() with input as examples.artifact
