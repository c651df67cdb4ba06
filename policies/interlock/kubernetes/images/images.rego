# METADATA
# title: References to container images
# description: |-
#   Reads a reference as container runtimes do, so that `ubuntu`, `docker.io/ubuntu` and `docker.io/library/ubuntu` are
#   one place, and says whether a profile accepts it. What is no reference is accepted by no profile.
package interlock.kubernetes.images

import data.interlock.kubernetes.parameters

# METADATA
# title: The parts of a reference
# description: Undefined unless it is a text of the form `[REGISTRY/]PATH[:TAG][@sha256:DIGEST]`.
parts(image) := {"repository": repository(found[0][1]), "tag": found[0][2], "digest": found[0][3]} if {
	is_string(image)
	count(image) <= 4096
	found := regex.find_all_string_submatch_n(reference, image, 1)
	count(found) == 1
}

# METADATA
# title: The form of a reference
# description: After the grammar of the OCI distribution specification.
reference := concat("", [
	`^((?:[a-zA-Z0-9.-]+(?::[0-9]{1,5})?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)`,
	`(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@sha256:([0-9a-f]{64}))?$`,
])

# METADATA
# title: The whole name of a repository
# description: With the registry and the path that a runtime puts in where they are left out.
repository(name) := whole if {
	steps := split(name, "/")
	count(steps) > 1
	host := lower(steps[0])
	is_host(host)
	whole := docker_hub(concat("/", [host, concat("/", array.slice(steps, 1, count(steps)))]))
} else := docker_hub(concat("/", ["docker.io", name]))

# METADATA
# title: Whether the first step of a name is a registry
# description: The rule of the reference grammar; else it is a user of Docker Hub.
# scope: document
is_host("localhost")

is_host(step) if regex.match(`[.:]`, step)

# METADATA
# title: One spelling for Docker Hub
# description: Its second host name is the same place, and a name without a user is in `library`.
docker_hub(whole) := concat("/", ["docker.io", path]) if {
	steps := split(whole, "/")
	steps[0] in {"docker.io", "index.docker.io", "registry-1.docker.io"}
	path := library(array.slice(steps, 1, count(steps)))
} else := whole

# METADATA
# title: A path on Docker Hub
# description: With `library` in front where no user is named.
library(steps) := concat("/", ["library", steps[0]]) if {
	count(steps) == 1
} else := concat("/", steps)

# METADATA
# title: The image cannot change under its name
# description: Undefined unless the reference is readable and pinned as the profile asks.
# scope: document
pinned(image) if parts(image).digest != ""

pinned(image) if {
	parameters.profile.images.pinned == "tag"
	fixed(lower(parts(image).tag))
}

# METADATA
# title: The tag is not one that people move
# description: Undefined for no tag, for `latest`, for one in the profile's list, and where the profile has no list.
fixed(tag) if {
	tag != ""
	tag != "latest"
	every moved in parameters.names("images", "mutable_tags") {
		tag != lower(moved)
	}
}

# METADATA
# title: The image comes from a registry that the profile allows
# description: |-
#   Undefined unless the reference is readable and lies under one of the allowed places. Whole steps of the path count,
#   so `ghcr.io/acme` allows `ghcr.io/acme/train` and not `ghcr.io/acme-tools/train`.
# scope: document
allowed(image) if {
	parameters.profile.images.registries == "any"
	parts(image)
}

allowed(image) if {
	whole := parts(image).repository
	some place in parameters.names("images", "registries")
	under(whole, trim_suffix(place, "/"))
}

# METADATA
# title: Whether a repository lies under a place
# description: The place itself, or something below it.
# scope: document
under(whole, place) if {
	place != ""
	whole == place
}

under(whole, place) if {
	place != ""
	startswith(whole, concat("", [place, "/"]))
}

# METADATA
# title: What is wrong with an image
# description: Texts; empty only for one that the profile accepts.
problems(image) := {text |
	some text in [
		pin_problem(image),
		place_problem(image),
	]
	text != ""
}

# METADATA
# title: What is wrong with how an image is pinned
# description: Always defined; empty when nothing is.
pin_problem(image) := "" if {
	pinned(image)
} else := sprintf("%v is not pinned; profile %v asks for %v", [shown(image), parameters.shown, pin_asked])

# METADATA
# title: What is wrong with where an image comes from
# description: Always defined; empty when nothing is.
place_problem(image) := "" if {
	allowed(image)
} else := sprintf("%v is from no allowed registry; profile %v allows %v", [
	shown(image),
	parameters.shown,
	places_allowed,
])

# METADATA
# title: How the profile wants images pinned
# description: Always defined.
# scope: document
default pin_asked := "a digest"

pin_asked := "a digest, or a tag that is not moved" if parameters.profile.images.pinned == "tag"

# METADATA
# title: The allowed places as text
# description: Always defined.
# scope: document
default places_allowed := "none yet (images.registries)"

places_allowed := "any" if parameters.profile.images.registries == "any"

places_allowed := text if {
	text := concat(", ", parameters.names("images", "registries"))
	text != ""
}

# METADATA
# title: An image as text
# description: Always defined, and short.
shown(image) := substring(sprintf("%v", [image]), 0, 300)
