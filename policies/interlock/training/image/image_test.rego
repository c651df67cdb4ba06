# METADATA
# title: Tests of training.image
package interlock.training.image_test

import data.interlock.examples_test as examples
import data.interlock.training.image

complete := examples.complete.training_guard

test_the_complete_example_passes if image.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if image.deny == set() with input as examples.training_guard

test_a_tag_is_denied if {
	changed := examples.changed(complete, "requested/image", "registry.example/fraud/train:latest")
	{[reason.id, reason.message] | some reason in image.deny} == {
		[
			"training.image",
			concat("", [
				"image registry.example/fraud/train:latest; profile strict permits images by digest ",
				"from whatever is stated",
			]),
		],
	} with input as changed
}

test_a_short_digest_is_denied if {
	changed := examples.changed(complete, "requested/image", "registry.example/fraud/train@sha256:abc")
	{[reason.id, reason.message] | some reason in image.deny} == {
		[
			"training.image",
			concat("", [
				"image registry.example/fraud/train@sha256:abc; profile strict permits images by ",
				"digest from whatever is stated",
			]),
		],
	} with input as changed
}

test_an_image_without_a_registry_is_denied if {
	changed := examples.changed(
		complete,
		"requested/image",
		sprintf("fraud/train@sha256:%s", [examples.digest]),
	)
	{[reason.id, reason.message] | some reason in image.deny} == {
		[
			"training.image",
			concat("", [
				"image ",
				"fraud/train@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08; ",
				"profile strict permits images by digest from whatever is stated",
			]),
		],
	} with input as changed
}

test_another_registry_is_denied if {
	changed := examples.changed(
		complete,
		"requested/image",
		sprintf("registry.example.evil.example/fraud/train@sha256:%s", [examples.digest]),
	)
	{[reason.id, reason.message] | some reason in image.deny} == {
		[
			"training.image",
			concat("", [
				"image ",
				"registry.example.evil.example/fraud/train@sha256:9f86d081884c7d659a2feaa0c55ad01",
				"5a3bf4f1b2b0b822cd15d6c15b0f00a08; profile strict permits images by digest from ",
				"registry.example",
			]),
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("training/registries", ["registry.example"])
}

test_a_path_that_leads_out_is_denied if {
	changed := examples.changed(
		complete,
		"requested/image",
		sprintf("registry.example/fraud/../../evil.example/x@sha256:%s", [examples.digest]),
	)
	{[reason.id, reason.message] | some reason in image.deny} == {
		[
			"training.image",
			concat("", [
				"image ",
				"registry.example/fraud/../../evil.example/x@sha256:9f86d081884c7d659a2feaa0c55ad",
				"015a3bf4f1b2b0b822cd15d6c15b0f00a08; profile strict permits images by digest from ",
				"registry.example/fraud",
			]),
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("training/registries", ["registry.example/fraud"])
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"requested",
		"requested/image",
	] {
		every document in examples.spoiled(complete, path) {
			count(image.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/training",
		"strict/training/registries",
	] {
		every profiles in examples.profiles_without(path) {
			count(image.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

test_an_image_of_a_listed_registry_passes if {
	every listed in ["registry.example", "registry.example/fraud", "registry.example/fraud/"] {
		image.deny == set() with input as complete
			with data.interlock.profiles as examples.strictly("training/registries", [listed])
	}
}

test_ports_tags_and_localhost_are_known if {
	every name in ["localhost/a", "localhost:5000/a", "registry:5000/a/b_c", "ghcr.io/a/b-c.d:v1.2"] {
		changed := examples.changed(complete, "requested/image", sprintf("%s@sha256:%s", [name, examples.digest]))
		image.deny == set() with input as changed
	}
}
