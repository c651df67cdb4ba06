# METADATA
# title: Tests of training.gpu
package interlock.training.gpu_test

import data.interlock.examples_test as examples
import data.interlock.training.gpu

complete := examples.complete.training_guard

device(fields) := examples.changed(complete, "report/facts/gpu/devices", [object.union(examples.gpu, fields)])

standard(fields) := object.union(device(fields), {"profile": "standard"})

ids(reasons) := {reason.id | some reason in reasons}

test_the_complete_examples_pass if {
	every name in ["training_guard", "finished_training"] {
		gpu.deny == set() with input as examples.complete[name]
	}
}

test_a_step_without_gpus_is_not_judged if {
	every document in [
		examples.training_guard,
		examples.finished_training,
		examples.artifact,
		examples.deployment_guard,
		object.union(examples.training_guard, {"profile": "strict", "requested": {"gpus": 0}}),
	] {
		gpu.deny == set() with input as document
	}
}

test_an_unknown_number_of_gpus_is_not_none_where_the_profile_says_so if {
	ids(gpu.deny) == {
		"training.gpu-unseen",
		"training.gpu-shared",
		"training.gpu-foreign-process",
		"training.gpu-memory",
	} with input as object.union(examples.training_guard, {"profile": "strict"})
	every profiles in examples.profiles_without("standard/gpu/unstated") {
		ids(gpu.deny) != set() with input as examples.training_guard with data.interlock.profiles as profiles
	}
}

test_a_gpu_that_nobody_asked_for_is_judged if {
	every requested in [{}, {"gpus": 0}] {
		document := object.union(
			json.remove(standard({"mig": false}), ["requested"]),
			{"requested": requested},
		)
		"training.gpu-shared" in ids(gpu.deny) with input as document
	}
}

test_fewer_gpus_than_asked_for_are_denied if {
	changed := examples.changed(complete, "requested/gpus", 2)
	{[reason.id, reason.message] | some reason in gpu.deny} == {[
		"training.gpu-unseen",
		"2 GPUs asked for, 1 seen",
	]} with input as changed
}

test_one_gpu_counted_twice_is_denied if {
	changed := examples.changed(complete, "report/facts/gpu/devices", [examples.gpu, examples.gpu])
	{reason.message | some reason in gpu.deny; reason.id == "training.gpu-unseen"} == {concat("", [
		"1 GPUs asked for, ",
		"none that can be read seen",
	])} with input as changed
}

test_what_is_wrong_with_a_gpu_is_denied if {
	every fields, said in {
		{"mig": false}: [
			"training.gpu-shared",
			"of 1 GPUs not all are MIG slices or exclusive; profile standard asks for exclusive: true",
		],
		{"mig": false, "compute_mode": "PROHIBITED"}: [
			"training.gpu-shared",
			"of 1 GPUs not all are MIG slices or exclusive; profile standard asks for exclusive: true",
		],
		{"foreign_processes": 1}: [
			"training.gpu-foreign-process",
			"processes of others: 1; profile standard bears at most 0",
		],
		{"foreign_processes": -1}: [
			"training.gpu-foreign-process",
			"processes of others: -1; profile standard bears at most 0",
		],
		{"ecc_uncorrected": 1}: [
			"training.gpu-memory",
			"uncorrected errors: 1, retired pages: 0; profile standard bears at most 0 and 64",
		],
		{"ecc_uncorrected": null}: [
			"training.gpu-memory",
			"uncorrected errors: null, retired pages: 0; profile standard bears at most 0 and 64",
		],
		{"retired_pages": 65}: [
			"training.gpu-memory",
			"uncorrected errors: 0, retired pages: 65; profile standard bears at most 0 and 64",
		],
		{"confidential": false}: [
			"training.gpu-confidential",
			"confidential: false; asked for: true; profile standard says when-asked",
		],
	} {
		{[reason.id, reason.message] | some reason in gpu.deny} == {said} with input as standard(fields)
	}
}

test_an_exclusive_gpu_need_not_be_a_slice if {
	gpu.deny == set() with input as standard({"mig": false, "compute_mode": "EXCLUSIVE_PROCESS"})
}

test_the_dev_profile_asks_only_that_the_gpu_was_seen if {
	bad := {
		"mig": false,
		"ecc_uncorrected": null,
		"retired_pages": null,
		"foreign_processes": 3,
	}
	gpu.deny == set() with input as object.union(device(bad), {"profile": "dev"})
	ids(gpu.deny) == {"training.gpu-unseen"} with input as examples.changed(
		object.union(device(bad), {"profile": "dev", "requested": {"confidential": false}}),
		"report/facts/gpu/devices",
		[],
	)
}

test_one_bad_device_among_good_ones_is_denied if {
	changed := examples.changed(complete, "report/facts/gpu/devices", [
		examples.gpu,
		object.union(examples.gpu, {"uuid": "GPU-2", "foreign_processes": 1}),
	])
	ids(gpu.deny) == {"training.gpu-foreign-process"} with input as changed
}

test_memory_that_went_bad_in_the_training_is_denied if {
	changed := examples.changed(
		examples.complete.finished_training,
		"report/facts/gpu/devices/0/ecc_uncorrected",
		2,
	)
	ids(gpu.deny) == {"training.gpu-memory"} with input as changed
}

floored(version) := examples.strictly("gpu/min_driver", version)

test_drivers_are_compared_by_numbers if {
	every oldest in ["580", "580.5", "580.05.08", "99.999.999"] {
		gpu.deny == set() with input as complete with data.interlock.profiles as floored(oldest)
	}
	every oldest in ["581", "580.5.9", "580.05.08.1", "1000"] {
		ids(gpu.deny) == {"training.gpu-driver"} with input as complete with data.interlock.profiles as floored(oldest)
	}
}

test_a_driver_that_is_no_version_is_denied if {
	every wrong in ["", "580.x", "v580", "580.", ".580", null, 580, true, [], {}] {
		changed := examples.changed(complete, "report/facts/gpu/devices/0/driver", wrong)
		ids(gpu.deny) == {"training.gpu-driver"} with input as changed with data.interlock.profiles as floored("1")
	}
}

test_a_driver_that_is_too_old_says_so if {
	messages := {reason.message | some reason in gpu.deny} with input as complete
		with data.interlock.profiles as floored("600")
	messages == {"driver: 580.05.08; profile strict asks for at least 600"}
}

test_confidential_mode_only_where_somebody_asks if {
	open := device({"confidential": false})
	unasked := json.remove(open, ["requested/confidential"])
	every document in [unasked, examples.changed(open, "requested/confidential", false)] {
		gpu.deny == set() with input as document
		ids(gpu.deny) == {"training.gpu-confidential"} with input as document
			with data.interlock.profiles as examples.strictly("gpu/confidential", "always")
	}
	every wrong in [null, 0, "false", [], {}] {
		changed := examples.changed(open, "requested/confidential", wrong)
		ids(gpu.deny) == {"training.gpu-confidential"} with input as changed
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/facts",
		"report/facts/gpu",
		"report/facts/gpu/devices",
		"report/facts/gpu/devices/0",
		"report/facts/gpu/devices/0/uuid",
		"report/facts/gpu/devices/0/mig",
		"report/facts/gpu/devices/0/ecc_uncorrected",
		"report/facts/gpu/devices/0/retired_pages",
		"report/facts/gpu/devices/0/foreign_processes",
		"report/facts/gpu/devices/0/confidential",
	] {
		every document in examples.spoiled(complete, path) {
			count(gpu.deny) > 0 with input as document
		}
	}
}

test_how_many_gpus_must_be_a_number if {
	every wrong in [null, true, "1", [], {}] {
		changed := examples.changed(complete, "requested/gpus", wrong)
		count(gpu.deny) > 0 with input as changed
	}
	gpu.deny == set() with input as json.remove(complete, ["requested/gpus"])
}

test_the_mode_must_be_there_where_the_device_is_no_slice if {
	whole := examples.changed(
		device({"mig": false, "compute_mode": "EXCLUSIVE_PROCESS"}),
		"profile",
		"strict",
	)
	every document in examples.spoiled(whole, "report/facts/gpu/devices/0/compute_mode") {
		ids(gpu.deny) == {"training.gpu-shared"} with input as document
	}
}

# What is put in place of a parameter may be a number that the example keeps; this device keeps none.
worn := object.union(
	device({
		"mig": false,
		"ecc_uncorrected": 8,
		"retired_pages": 8,
		"foreign_processes": 8,
	}),
	{"requested": {"confidential": true}},
)

test_every_parameter_must_be_there_with_its_type if {
	every path, id in {
		"strict/gpu": "training.gpu-shared",
		"strict/gpu/exclusive": "training.gpu-shared",
		"strict/gpu/max_foreign_processes": "training.gpu-foreign-process",
		"strict/gpu/max_ecc_uncorrected": "training.gpu-memory",
		"strict/gpu/max_retired_pages": "training.gpu-memory",
		"strict/gpu/min_driver": "training.gpu-driver",
		"strict/gpu/confidential": "training.gpu-confidential",
	} {
		every profiles in examples.profiles_without(path) {
			id in ids(gpu.deny) with input as worn with data.interlock.profiles as profiles
		}
	}
}
