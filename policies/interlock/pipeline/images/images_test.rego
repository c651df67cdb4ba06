# METADATA
# title: Tests of pipeline.images
package interlock.pipeline.images_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.images

tagged := examples.changed("steps/2/image", "ghcr.io/acme/load:v1")

test_the_example_passes if {
	images.deny == set() with input as examples.pipeline
	images.applies with input as examples.pipeline
}

test_a_tag_is_refused if {
	{[reason.id, reason.message] | some reason in images.deny} == {[
		"pipeline.images",
		"step load: ghcr.io/acme/load:v1 is not pinned; profile standard asks for a digest",
	]} with input as tagged
	images.warn == set() with input as tagged
}

test_another_registry_is_refused if {
	profiles := documents.changed(data.interlock.profiles, "standard/images/registries", ["registry.acme.example"])
	reasons := images.deny with input as examples.pipeline with data.interlock.profiles as profiles
	{reason.id | some reason in reasons} == {"pipeline.images"}
	count(reasons) == 2
}

test_an_audit_warns if {
	profiles := documents.changed(data.interlock.profiles, "standard/pipeline/images", "audit")
	images.deny == set() with input as tagged with data.interlock.profiles as profiles
	warnings := images.warn with input as tagged with data.interlock.profiles as profiles
	{warning.id | some warning in warnings} == {"pipeline.images-audited"}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["standard/images", "standard/images/registries"] {
		every wrong in [null, 7, [], {}] {
			profiles := documents.changed(data.interlock.profiles, path, wrong)
			count(images.deny) > 0 with input as examples.pipeline with data.interlock.profiles as profiles
		}
	}
	every profiles in documents.profiles_without("standard/images/pinned") {
		count(images.deny) > 0 with input as tagged with data.interlock.profiles as profiles
	}
	every profiles in documents.profiles_without("standard/pipeline/images") {
		count(images.deny) > 0 with input as tagged with data.interlock.profiles as profiles
	}
}
