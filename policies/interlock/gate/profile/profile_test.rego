# METADATA
# title: Tests of gate.profile
package interlock.gate.profile_test

import data.interlock.examples_test as examples
import data.interlock.gate.profile

test_the_example_passes if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		profile.deny == set() with input as examples.allowed[name]
	}
}

test_an_unknown_profile_is_denied if {
	changed := examples.changed(examples.validation, "profile", "relaxed")
	three := {name: data.interlock.profiles[name] | some name in ["dev", "standard", "strict"]}
	{[reason.id, reason.message] | some reason in profile.deny} == {[
		"gate.profile",
		"profile relaxed is unknown or extends something unknown; the bundle has dev, standard, strict",
	]} with input as changed with data.interlock.profiles as three
}

test_every_field_read_must_be_there_with_its_type if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		every path in ["profile"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(profile.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		every path in ["standard"] {
			every profiles in examples.profiles_without(path) {
				count(profile.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}
