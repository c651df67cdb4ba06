# METADATA
# title: Tests of image references
package interlock.kubernetes.images_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.images

sha := "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

test_one_place_has_one_name if {
	every image, repository in {
		"ubuntu": "docker.io/library/ubuntu",
		"docker.io/ubuntu": "docker.io/library/ubuntu",
		"index.docker.io/library/ubuntu:22.04": "docker.io/library/ubuntu",
		"Docker.IO/acme/train": "docker.io/acme/train",
		"acme/train:v1": "docker.io/acme/train",
		"localhost/train": "localhost/train",
		"localhost:5000/train:v1": "localhost:5000/train",
		"ghcr.io/acme/train": "ghcr.io/acme/train",
	} {
		images.parts(image).repository == repository
	}
}

test_tag_and_digest_are_read if {
	images.parts("localhost:5000/train:v1").tag == "v1"
	images.parts("localhost:5000/train").tag == ""
	images.parts(concat("", ["a/b:v1@sha256:", sha])).digest == sha
}

test_what_is_no_reference_has_no_parts if {
	every image in [
		"",
		" ubuntu",
		"ubuntu\n",
		"Ubuntu",
		"ghcr.io/acme/../evil",
		"https://ghcr.io/acme/train",
		"ghcr.io//train",
		"ubuntu@sha256:abc",
		concat("", ["ubuntu@sha512:", sha]),
		concat("", ["ubuntu@sha256:", upper(sha)]),
		concat("", ["ubuntu@sha256:", sha, "0"]),
		"ubuntu:",
		null,
		7,
		["ubuntu"],
		{},
	] {
		not images.parts(image)
		count(images.problems(image)) == 2 with input as examples.allowed.pod
	}
}

pinned_by_tag := {"standard": {"images": {"pinned": "tag", "mutable_tags": ["main"], "registries": "any"}}}

test_a_digest_is_asked_for if {
	images.pinned(examples.image) with input as examples.allowed.pod
	every image in ["ghcr.io/acme/train", "ghcr.io/acme/train:v1", "ghcr.io/acme/train:latest"] {
		not images.pinned(image) with input as examples.allowed.pod
	}
	problems := images.problems("ghcr.io/acme/train:v1") with input as examples.allowed.pod
	problems == {"ghcr.io/acme/train:v1 is not pinned; profile standard asks for a digest"}
}

test_a_tag_is_enough_where_the_profile_says_so if {
	images.pinned("ghcr.io/acme/train:v1") with input as examples.allowed.pod
		with data.interlock.profiles as pinned_by_tag
	every image in ["ghcr.io/acme/train", "ghcr.io/acme/train:latest", "a/b:main", "a/b:MAIN", "a/b:Latest"] {
		problems := images.problems(image) with input as examples.allowed.pod
			with data.interlock.profiles as pinned_by_tag
		problems == {sprintf(
			"%s is not pinned; profile standard asks for a digest, or a tag that is not moved",
			[image],
		)}
	}
}

test_without_a_list_of_moving_tags_no_tag_is_enough if {
	every wrong in [null, 7, "main", {}, [7]] {
		profiles := {"standard": {"images": {"pinned": "tag", "mutable_tags": wrong}}}
		not images.pinned("ghcr.io/acme/train:v1") with input as examples.allowed.pod
			with data.interlock.profiles as profiles
	}
}

places := {"standard": {"images": {"registries": ["ghcr.io/acme", "docker.io/library/", ""]}}}

test_a_registry_allows_what_lies_under_it if {
	every image in ["ghcr.io/acme/train:v1", "ghcr.io/acme", "GHCR.io/acme/train", "ubuntu"] {
		images.place_problem(image) == "" with input as examples.allowed.pod with data.interlock.profiles as places
	}
}

test_a_registry_allows_nothing_beside_it if {
	every image in [
		"ghcr.io/acme-tools/train",
		"ghcr.io.evil.example/acme/train",
		"evil.example/ghcr.io/acme/train",
		"acme/train",
		"ghcr.io/acm",
	] {
		problem := images.place_problem(image) with input as examples.allowed.pod with data.interlock.profiles as places
		problem == sprintf(
			"%s is from no allowed registry; profile standard allows ghcr.io/acme, docker.io/library/, ",
			[image],
		)
	}
}

test_without_a_list_of_registries_none_is_allowed if {
	every wrong in [null, 7, "all", {}, [7], []] {
		profiles := {"standard": {"images": {"registries": wrong}}}
		images.place_problem("ubuntu") == concat(" ", [
			"ubuntu is from no allowed registry;",
			"profile standard allows none yet (images.registries)",
		]) with input as examples.allowed.pod with data.interlock.profiles as profiles
	}
}

test_any_registry_is_said_so if {
	problem := images.place_problem("Ubuntu") with input as examples.allowed.pod
	problem == "Ubuntu is from no allowed registry; profile standard allows any"
}
