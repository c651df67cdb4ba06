# METADATA
# title: Tests of pipeline.given
package interlock.pipeline.given_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.given

only(name, listed) := documents.changed(data.interlock.profiles, concat("/", ["standard/pipeline", name]), listed)

mounting(step) := examples.changed(sprintf("steps/%d/mounts", [step]), ["claim lake at /lake"])

secret := examples.changed("steps/2/secrets", ["hub-token"])

test_the_example_passes if {
	given.deny == set() with input as examples.pipeline
	given.applies with input as examples.pipeline
}

test_a_secret_that_is_not_listed_is_refused if {
	profiles := only("given_secrets", ["interlock*"])
	reasons := given.deny with input as secret with data.interlock.profiles as profiles
	{[reason.id, reason.message] | some reason in reasons} == {[
		"pipeline.given",
		"step load is given the secret hub-token",
	]}
	given.deny == set() with input as secret with data.interlock.profiles as only("given_secrets", ["hub-*"])
}

test_a_mount_counts_on_gates_and_protected_steps if {
	every step in [0, 3] {
		{reason.id | some reason in given.deny} == {"pipeline.given"} with input as mounting(step)
	}
	given.deny == set() with input as mounting(2)
	given.deny == set() with input as mounting(3) with data.interlock.profiles as only("given_mounts", ["claim lake*"])
}

test_an_audit_warns if {
	profiles := only("given", "audit")
	given.deny == set() with input as mounting(3) with data.interlock.profiles as profiles
	warnings := given.warn with input as mounting(3) with data.interlock.profiles as profiles
	{warning.id | some warning in warnings} == {"pipeline.given-audited"}
}

both := json.patch(secret, [{
	"op": "add",
	"path": "report/facts/pipeline/steps/0/mounts",
	"value": ["claim lake at /lake"],
}])

test_every_parameter_must_be_there_with_its_type if {
	every path in ["standard/pipeline/given_secrets", "standard/pipeline/given_mounts", "standard/pipeline/given"] {
		every profiles in documents.profiles_without(path) {
			count(given.deny) > 0 with input as both with data.interlock.profiles as profiles
		}
	}
}
