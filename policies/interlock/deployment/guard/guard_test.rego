# METADATA
# title: Tests of what the rules of deployment share
package interlock.deployment.guard_test

import data.interlock.decision
import data.interlock.deployment.examples_test as examples
import data.interlock.deployment.guard
import data.interlock.examples_test as documents

test_the_full_example_is_allowed if {
	decision.result == {"allow": true, "reasons": [], "warnings": [], "exemptions": []} with input as examples.full
		with data.interlock.profiles as examples.demanding
}

test_what_is_declared_is_judged_in_every_profile if {
	every profile in ["dev", "standard"] {
		wrong := object.union(examples.full, {"profile": profile, "requested": {"rollout": null, "manifests": null}})
		ids := {reason.id | some reason in decision.result.reasons} with input as wrong
		ids & {"deployment.rollout", "deployment.manifests"} == {"deployment.rollout", "deployment.manifests"}
	}
}

test_only_deployments_are_judged if {
	every name in ["training_guard", "validation", "finished_training"] {
		not guard.applies with input as documents.allowed[name]
	}
}

test_only_the_word_lets_a_declaration_be_absent if {
	guard.omitted("rollout") with input as documents.deployment_guard
	every profiles in documents.profiles_without("standard/deployment/rollout") {
		not guard.omitted("rollout") with input as documents.deployment_guard with data.interlock.profiles as profiles
	}
	not guard.omitted("rollout") with input as documents.deployment_guard
		with data.interlock.profiles as examples.demanding
	every wrong in [null, 7, "text", []] {
		not guard.omitted("rollout") with input as documents.changed(documents.deployment_guard, "requested", wrong)
	}
}

test_reasons_of_every_rule_arrive if {
	bare := documents.deployment_guard
	ids := {reason.id | some reason in decision.result.reasons} with input as bare
		with data.interlock.profiles as examples.demanding
	ids == {
		"deployment.lineage-incomplete",
		"deployment.approval",
		"deployment.rollout",
		"deployment.manifests",
	}
}
