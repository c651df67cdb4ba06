# METADATA
# title: Tests of training.gpu-recorded, training.gpu-scrub and training.gpu-attestation
package interlock.training.gpu_evidence_test

import data.interlock.examples_test as examples
import data.interlock.training.gpu_evidence

guard := examples.complete.training_guard

finished := examples.complete.finished_training

said(reasons) := {[reason.id, reason.message] | some reason in reasons}

ids(reasons) := {reason.id | some reason in reasons}

test_the_complete_examples_pass if {
	every name in ["training_guard", "finished_training"] {
		gpu_evidence.deny == set() with input as examples.complete[name]
	}
}

test_a_step_without_gpus_is_not_judged if {
	every document in [examples.training_guard, examples.finished_training, examples.artifact] {
		gpu_evidence.deny == set() with input as document
	}
}

test_a_recorded_state_is_denied_but_in_dev if {
	recorded := examples.changed(guard, "report/facts/gpu/recorded", true)
	every profile in ["standard", "strict"] {
		said(gpu_evidence.deny) == {[
			"training.gpu-recorded",
			sprintf("recorded: true; profile %s accepts a record: false", [profile]),
		]} with input as object.union(recorded, {"profile": profile})
	}
	gpu_evidence.deny == set() with input as object.union(recorded, {"profile": "dev"})
}

test_memory_is_overwritten_before_and_after_where_the_profile_asks if {
	never := json.remove(guard, ["report/facts/gpu/scrub"])
	said(gpu_evidence.deny) == {[
		"training.gpu-scrub",
		"memory overwritten before: (none), after: (none); profile strict asks for it: true",
	]} with input as never
	every profile in ["dev", "standard"] {
		gpu_evidence.deny == set() with input as object.union(never, {"profile": profile})
	}
	said(gpu_evidence.deny) == {[
		"training.gpu-scrub",
		"memory overwritten before: true, after: (none); profile strict asks for it: true",
	]} with input as json.remove(finished, ["report/facts/gpu/scrub/after"])
	ids(gpu_evidence.deny) == {"training.gpu-scrub"} with input as json.remove(
		finished,
		["report/facts/gpu/scrub/before"],
	)
}

test_a_scrub_that_failed_or_left_a_device_out_is_denied if {
	failed := examples.changed(guard, "report/facts/gpu/scrub/before/done", false)
	ids(gpu_evidence.deny) == {"training.gpu-scrub"} with input as failed
	fewer := examples.changed(guard, "report/facts/gpu/scrub/before/devices", 0)
	ids(gpu_evidence.deny) == {"training.gpu-scrub"} with input as fewer
}

test_confidential_gpus_are_attested if {
	unattested := json.remove(guard, ["report/facts/gpu/attestation"])
	said(gpu_evidence.deny) == {[
		"training.gpu-attestation",
		"attestation verified: (none); profile strict says when-confidential",
	]} with input as unattested
	unasked := json.remove(unattested, ["requested/confidential"])
	gpu_evidence.deny == set() with input as unasked
	ids(gpu_evidence.deny) == {"training.gpu-attestation"} with input as unasked
		with data.interlock.profiles as examples.strictly("gpu/attestation", "always")
	ids(gpu_evidence.deny) == {"training.gpu-attestation"} with input as unasked
		with data.interlock.profiles as examples.strictly("gpu/confidential", "always")
	gpu_evidence.deny == set() with input as unattested
		with data.interlock.profiles as examples.strictly("gpu/attestation", "any")
}

test_an_attestation_that_does_not_hold_or_speaks_of_nothing_is_denied if {
	every path, value in {
		"report/facts/gpu/attestation/verified": false,
		"report/facts/gpu/attestation/devices": [],
	} {
		ids(gpu_evidence.deny) == {"training.gpu-attestation"} with input as examples.changed(guard, path, value)
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report/facts/gpu/recorded",
		"report/facts/gpu/scrub",
		"report/facts/gpu/scrub/before",
		"report/facts/gpu/scrub/before/done",
		"report/facts/gpu/scrub/before/devices",
		"report/facts/gpu/attestation",
		"report/facts/gpu/attestation/verified",
		"report/facts/gpu/attestation/devices",
	] {
		every document in examples.spoiled(guard, path) {
			count(gpu_evidence.deny) > 0 with input as document
		}
	}
}

# Nothing of it is as it has to be, so that no value in place of a parameter passes by chance.
bare := json.remove(
	examples.changed(guard, "report/facts/gpu/recorded", true),
	["report/facts/gpu/scrub", "report/facts/gpu/attestation"],
)

test_every_parameter_must_be_there_with_its_type if {
	every path, id in {
		"strict/gpu/accept_recorded": "training.gpu-recorded",
		"strict/gpu/require_scrub": "training.gpu-scrub",
		"strict/gpu/attestation": "training.gpu-attestation",
	} {
		every profiles in examples.profiles_without(path) {
			id in ids(gpu_evidence.deny) with input as bare with data.interlock.profiles as profiles
		}
	}
}
