# METADATA
# title: Tests of training.gpu-mps and training.gpu-toolkit
package interlock.training.gpu_isolation_test

import data.interlock.examples_test as examples
import data.interlock.training.gpu_isolation

complete := examples.complete.training_guard

mps := "report/facts/gpu/devices/0/mps"

toolkit := "report/facts/gpu/toolkit"

said(reasons) := {[reason.id, reason.message] | some reason in reasons}

ids(reasons) := {reason.id | some reason in reasons}

test_the_complete_examples_pass if {
	every name in ["training_guard", "finished_training"] {
		gpu_isolation.deny == set() with input as examples.complete[name]
	}
}

test_a_step_without_gpus_is_not_judged if {
	every document in [examples.training_guard, examples.finished_training, examples.artifact] {
		gpu_isolation.deny == set() with input as document
	}
}

test_mps_is_denied_also_in_exclusive_mode if {
	exclusive := examples.changed(complete, "report/facts/gpu/devices/0/compute_mode", "EXCLUSIVE_PROCESS")
	served := examples.changed(exclusive, mps, true)
	message := "MPS: true; profile strict allows it: false"
	said(gpu_isolation.deny) == {["training.gpu-mps", message]} with input as served
	gpu_isolation.deny == set() with input as examples.changed(complete, mps, true)
		with data.interlock.profiles as examples.strictly("gpu/allow_mps", true)
}

test_an_old_or_unknown_toolkit_is_denied if {
	every version in ["1.17.7", "1.9.9", "1.17", "0.99.99"] {
		ids(gpu_isolation.deny) == {"training.gpu-toolkit"} with input as examples.changed(complete, toolkit, version)
	}
	every version in ["1.17.8", "1.17.10", "2", "1.18.0.1"] {
		gpu_isolation.deny == set() with input as examples.changed(complete, toolkit, version)
	}
	said(gpu_isolation.deny) == {[
		"training.gpu-toolkit",
		"container toolkit: (none); profile strict asks for at least 1.17.8",
	]} with input as json.remove(complete, [toolkit])
}

test_the_dev_profile_asks_for_neither if {
	document := object.union(json.remove(examples.changed(complete, mps, true), [toolkit]), {"profile": "dev"})
	gpu_isolation.deny == set() with input as document
}

test_every_field_read_must_be_there_with_its_type if {
	every path, id in {
		"report/facts/gpu/devices": "training.gpu-mps",
		"report/facts/gpu/devices/0": "training.gpu-mps",
		"report/facts/gpu/devices/0/mps": "training.gpu-mps",
		"report/facts/gpu/toolkit": "training.gpu-toolkit",
	} {
		every document in examples.spoiled(complete, path) {
			id in ids(gpu_isolation.deny) with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	served := examples.changed(complete, mps, true)
	every path, id in {
		"strict/gpu/allow_mps": "training.gpu-mps",
		"strict/gpu/min_toolkit": "training.gpu-toolkit",
	} {
		every profiles in examples.profiles_without(path) {
			id in ids(gpu_isolation.deny) with input as served with data.interlock.profiles as profiles
		}
	}
}
