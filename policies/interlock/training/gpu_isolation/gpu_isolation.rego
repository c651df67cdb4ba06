# METADATA
# title: What keeps the GPUs of one training from others
# description: |-
#   Beside what `training.gpu` judges: the service by which several processes share a GPU, and the software that brings
#   GPUs into containers.
# schemas:
#   - input: schema.decision_input
package interlock.training.gpu_isolation

import data.interlock.facts
import data.interlock.training.gpu

# METADATA
# title: Which reports this rule judges
# description: Those that `training.gpu` judges.
applies if gpu.applies

# METADATA
# title: No device is served by MPS
# description: |-
#   Undefined unless the profile allows it, or no device is. A GPU in exclusive mode may be: its one process is the
#   server then, and all of the server's clients share the GPU.
# scope: document
unserved if facts.profile.gpu.allow_mps == true

unserved if {
	facts.profile.gpu.allow_mps == false
	every device in gpu.devices {
		device.mps == false
	}
}

# METADATA
# title: The container toolkit is new enough
# description: Undefined unless the profile does not ask, or its version is known and no older than the floor.
# scope: document
current if facts.off("gpu", "min_toolkit")

current if gpu.version(input.report.facts.gpu.toolkit) >= gpu.version(facts.profile.gpu.min_toolkit)

# METADATA
# title: A GPU is shared through MPS
# description: The clients of CUDA's multi-process service are not kept from each other as processes are.
# custom:
#   id: training.gpu-mps
#   severity: high
#   remediation: Stop the service on this machine (`echo quit | nvidia-cuda-mps-control`), or give the step a MIG slice
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not unserved
	message := sprintf(
		"MPS: %v; profile %v allows it: %v",
		[gpu.shown_counts("mps"), facts.shown_profile, facts.shown_parameter("gpu", "allow_mps")],
	)
}

# METADATA
# title: The container toolkit is too old
# description: Older than the floor, or not known. Before 1.17.8 a container could get out (CVE-2025-23266).
# custom:
#   id: training.gpu-toolkit
#   severity: high
#   remediation: Update the NVIDIA container toolkit, and let `nvidia-ctk --version` be asked where the step runs
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
		"container toolkit: %v; profile %v asks for at least %v",
		[
			facts.shown_field(["report", "facts", "gpu", "toolkit"]),
			facts.shown_profile,
			facts.shown_parameter("gpu", "min_toolkit"),
		],
	)
}
