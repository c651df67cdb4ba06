# METADATA
# title: The GPUs are in a fit state and nobody else is on them
# description: Judged before a training, and again after it, when memory errors may have changed the weights.
# schemas:
#   - input: schema.decision_input
package interlock.training.gpu

import data.interlock.facts

# METADATA
# title: No GPU plays a part
# description: |-
#   Undefined unless the step asks for none, or says nothing and the profile takes that for none; and the report
#   tells of none either.
# scope: document
none if {
	input.requested.gpus == 0
	unseen
}

none if {
	unstated
	facts.profile.gpu.unstated == "none"
	unseen
}

# METADATA
# title: The step does not say how many GPUs it wants
# description: Undefined when it says something, of whatever type.
unstated if {
	is_object(input.requested)
	keys := object.keys(input.requested)
	not "gpus" in keys
}

# METADATA
# title: The report tells of no GPU
# description: Undefined when it says something, of whatever type.
unseen if {
	given := object.get(input, ["report", "facts"], {})
	is_object(given)
	keys := object.keys(given)
	not "gpu" in keys
}

# METADATA
# title: Which reports this rule judges
# description: Trainings that use a GPU, before and after. An unknown number of GPUs is not none.
applies if {
	facts.stage
	facts.gate == "training"
	not none
}

# METADATA
# title: The devices
# description: Undefined unless there is at least one, and each has an id of its own.
devices := listed if {
	listed := input.report.facts.gpu.devices
	is_array(listed)
	count(listed) > 0
	ids := {device.uuid | some device in listed; is_string(device.uuid); device.uuid != ""}
	count(ids) == count(listed)
}

# METADATA
# title: Every GPU that the step asks for was seen
# description: Undefined unless there are as many as asked for; at least one where the step does not say.
# scope: document
all_seen if {
	is_number(input.requested.gpus)
	count(devices) >= input.requested.gpus
}

all_seen if {
	unstated
	devices
}

# METADATA
# title: Nobody shares a device
# description: Undefined unless the profile does not ask, or each is a MIG slice or in exclusive mode.
# scope: document
unshared if facts.profile.gpu.exclusive == false

unshared if {
	facts.profile.gpu.exclusive == true
	every device in devices {
		alone(device)
	}
}

# METADATA
# title: One device is for this step alone
# description: Undefined unless it is a MIG slice, or lets one process in.
# scope: document
alone(device) if device.mig == true

alone(device) if device.compute_mode == "EXCLUSIVE_PROCESS"

# METADATA
# title: A count of every device is within its limit
# description: Undefined unless the profile does not ask, or each device has a number there within the limit.
# scope: document
within(_, parameter) if facts.off("gpu", parameter)

within(field, parameter) if {
	bound := facts.limit("gpu", parameter)
	every device in devices {
		is_number(device[field])
		device[field] >= 0
		device[field] <= bound
	}
}

# METADATA
# title: The memory is healthy
# description: Undefined unless both counts are within their limits.
healthy if {
	within("ecc_uncorrected", "max_ecc_uncorrected")
	within("retired_pages", "max_retired_pages")
}

# METADATA
# title: Nobody else is on the devices
# description: Undefined unless the count of foreign processes is within its limit.
unvisited if within("foreign_processes", "max_foreign_processes")

# METADATA
# title: The numbers of a version
# description: Undefined unless it is numbers with dots between; NVIDIA writes leading zeros.
version(text) := [to_number(regex.replace(part, `^0+([0-9])`, "$1")) | some part in split(text, ".")] if {
	is_string(text)
	regex.match(`^[0-9]+(\.[0-9]+)*$`, text)
}

# METADATA
# title: The driver is new enough
# description: Undefined unless the profile does not ask, or each device has a driver no older than the floor.
# scope: document
current if facts.off("gpu", "min_driver")

current if {
	oldest := version(facts.profile.gpu.min_driver)
	every device in devices {
		version(device.driver) >= oldest
	}
}

# METADATA
# title: The step does not ask for confidential GPUs
# description: Undefined when it asks, or says something that is not a boolean.
# scope: document
unasked if input.requested.confidential == false

unasked if {
	is_object(input.requested)
	keys := object.keys(input.requested)
	not "confidential" in keys
}

# METADATA
# title: Confidential where asked
# description: Undefined unless nobody asks for it, or each device is in that mode.
# scope: document
confidential if {
	facts.profile.gpu.confidential == "when-asked"
	unasked
}

confidential if {
	facts.profile.gpu.confidential in {"when-asked", "always"}
	every device in devices {
		device.confidential == true
	}
}

# METADATA
# title: A GPU was not looked at
# description: Fewer devices in the report than the step asks for, or none, or twice the same.
# custom:
#   id: training.gpu-unseen
#   severity: high
#   remediation: Run the step where Interlock can ask NVML about its GPUs, or ask for fewer
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not all_seen
	message := sprintf("%v GPUs asked for, %v seen", [facts.shown_field(["requested", "gpus"]), seen])
}

# METADATA
# title: A GPU is shared
# description: It is neither a MIG slice nor in exclusive mode.
# custom:
#   id: training.gpu-shared
#   severity: high
#   remediation: Give the step a MIG slice, or set `nvidia-smi -c EXCLUSIVE_PROCESS`
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not unshared
	message := sprintf(
		"of %v GPUs not all are MIG slices or exclusive; profile %v asks for exclusive: %v",
		[seen, facts.shown_profile, facts.shown_parameter("gpu", "exclusive")],
	)
}

# METADATA
# title: Somebody else is on a GPU
# description: More processes of others than the profile bears, or not counted.
# custom:
#   id: training.gpu-foreign-process
#   severity: high
#   remediation: Find out whose processes these are (`nvidia-smi`), and end them or take another GPU
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not unvisited
	message := sprintf(
		"processes of others: %v; profile %v bears at most %v",
		[shown_counts("foreign_processes"), facts.shown_profile, facts.shown_limit("gpu", "max_foreign_processes")],
	)
}

# METADATA
# title: The memory of a GPU is not healthy
# description: More uncorrected errors or retired pages than the profile bears, or not counted.
# custom:
#   id: training.gpu-memory
#   severity: high
#   remediation: Take the GPU out of service and train again on another; weights from bad memory are not to be trusted
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not healthy
	message := sprintf(
		"uncorrected errors: %v, retired pages: %v; profile %v bears at most %v and %v",
		[
			shown_counts("ecc_uncorrected"),
			shown_counts("retired_pages"),
			facts.shown_profile,
			facts.shown_limit("gpu", "max_ecc_uncorrected"),
			facts.shown_limit("gpu", "max_retired_pages"),
		],
	)
}

# METADATA
# title: The driver of a GPU is too old
# description: Older than the floor, or not known.
# custom:
#   id: training.gpu-driver
#   severity: medium
#   remediation: Update the driver on this machine
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not current
	message := sprintf(
		"driver: %v; profile %v asks for at least %v",
		[shown_counts("driver"), facts.shown_profile, facts.shown_parameter("gpu", "min_driver")],
	)
}

# METADATA
# title: A GPU is not confidential
# description: The step or the profile asks for confidential computing.
# custom:
#   id: training.gpu-confidential
#   severity: high
#   remediation: Run the step on GPUs in confidential mode, or do not ask for it
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not confidential
	message := sprintf(
		"confidential: %v; asked for: %v; profile %v says %v",
		[
			shown_counts("confidential"),
			facts.shown_field(["requested", "confidential"]),
			facts.shown_profile,
			facts.shown_parameter("gpu", "confidential"),
		],
	)
}

# METADATA
# title: The number of devices as text
# description: Always defined.
# scope: document
default seen := "none that can be read"

seen := sprintf("%d", [count(devices)])

# METADATA
# title: One field of every device as text
# description: Always defined.
shown_counts(field) := text if {
	text := concat(", ", [facts.shown(object.get(device, field, "(none)")) | some device in devices])
	text != ""
} else := "nothing readable"
