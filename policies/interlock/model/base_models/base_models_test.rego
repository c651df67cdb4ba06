# METADATA
# title: Tests of model.base_models
package interlock.model.base_models_test

import data.interlock.examples_test as examples
import data.interlock.model.base_models

complete := examples.complete.artifact

test_the_complete_example_passes if base_models.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if base_models.deny == set() with input as examples.artifact

test_a_base_model_that_is_not_listed_is_denied if {
	changed := examples.changed(
		complete,
		"report/facts/model/base_models",
		[
			"hub://acme/base@sha256:1f2e",
			"hub://evil/base",
		],
	)
	{[reason.id, reason.message] | some reason in base_models.deny} == {
		[
			"model.base-models",
			concat("", [
				"base models [\"hub://acme/base@sha256:1f2e\", \"hub://evil/base\"]; profile strict ",
				"permits hub://acme/base@sha256:1f2e",
			]),
		],
	} with input as changed
		with data.interlock.profiles as examples.strictly("model/base_models", ["hub://acme/base@sha256:1f2e"])
}

test_a_base_model_without_a_name_is_denied if {
	changed := examples.changed(complete, "report/facts/model/base_models", [""])
	{[reason.id, reason.message] | some reason in base_models.deny} == {
		[
			"model.base-models",
			"base models [\"\"]; profile strict permits whatever is stated",
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/model",
		"report/facts/model/base_models",
	] {
		every document in examples.spoiled(complete, path) {
			count(base_models.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/model",
		"strict/model/base_models",
	] {
		every profiles in examples.profiles_without(path) {
			count(base_models.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

scratch := examples.changed(complete, "report/facts/model/base_models", [])

test_a_model_from_scratch_passes if {
	base_models.deny == set() with input as scratch
	base_models.deny == set() with input as scratch
		with data.interlock.profiles as examples.strictly("model/base_models", [])
}

test_the_parameter_is_needed_for_a_model_from_scratch_too if {
	every profiles in examples.profiles_without("strict/model/base_models") - {
		examples.strictly("model/base_models", []),
		examples.strictly("model/base_models", ["text"]),
	} {
		count(base_models.deny) > 0 with input as scratch with data.interlock.profiles as profiles
	}
}

test_the_name_of_a_base_model_is_text if {
	every wrong in [null, true, 7, [], {}] {
		changed := examples.changed(complete, "report/facts/model/base_models/0", wrong)
		count(base_models.deny) > 0 with input as changed
	}
}
