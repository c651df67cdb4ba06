# METADATA
# title: Tests of model.secrets
package interlock.model.secrets_test

import data.interlock.examples_test as examples
import data.interlock.model.secrets

complete := examples.complete.artifact

test_the_complete_example_passes if secrets.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if secrets.deny == set() with input as examples.artifact

test_one_is_denied if {
	changed := examples.changed(complete, "report/measures/secrets/value", 1)
	{[reason.id, reason.message] | some reason in secrets.deny} == {[
		"model.secrets",
		"secrets found: 1; profile strict bears at most 0",
	]} with input as changed
}

test_nobody_looked_is_denied if {
	unseen := json.remove(complete, ["report/measures/secrets"])
	{[reason.id, reason.message] | some reason in secrets.deny} == {[
		"model.secrets",
		"secrets found: nothing readable; profile strict bears at most 0",
	]} with input as unseen
}

test_every_field_read_must_be_there_with_its_type if {
	every path in ["report", "report/measures", "report/measures/secrets", "report/measures/secrets/value"] {
		every document in examples.spoiled(complete, path) {
			count(secrets.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["strict/model", "strict/model/max_secrets"] {
		# Some of what is put there is a number, but none of them is 9 or more.
		every profiles in examples.profiles_without(path) {
			count(secrets.deny) > 0 with input as examples.changed(complete, "report/measures/secrets/value", 9)
				with data.interlock.profiles as profiles
		}
	}
}
