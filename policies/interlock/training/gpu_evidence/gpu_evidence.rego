# METADATA
# title: What is said of the GPUs can be relied on
# description: |-
#   It was measured here, their free memory was overwritten, and NVIDIA's attestation speaks for them, where the profile
#   asks for that.
# schemas:
#   - input: schema.decision_input
package interlock.training.gpu_evidence

import data.interlock.facts
import data.interlock.training.gpu

# METADATA
# title: Which reports this rule judges
# description: Those that `training.gpu` judges.
applies if gpu.applies

# METADATA
# title: The state was measured
# description: Undefined unless it was, or the profile accepts one that was played back from a record.
# scope: document
measured if facts.profile.gpu.accept_recorded == true

measured if {
	facts.profile.gpu.accept_recorded == false
	input.report.facts.gpu.recorded == false
}

# METADATA
# title: When memory has to have been overwritten
# description: Before a training, and after it as well once it is over.
# scope: document
moments := {"before"} if facts.stage == "guard"

moments := {"before", "after"} if facts.stage == "gate"

# METADATA
# title: Free memory was overwritten
# description: Undefined unless the profile does not ask, or it was at every moment, of as many devices as there are.
# scope: document
scrubbed if facts.profile.gpu.require_scrub == false

scrubbed if {
	facts.profile.gpu.require_scrub == true
	every moment in moments {
		found := input.report.facts.gpu.scrub[moment]
		found.done == true
		is_number(found.devices)
		found.devices >= count(gpu.devices)
	}
}

# METADATA
# title: The GPUs are attested
# description: Undefined unless nobody asks for it, or an attestation was verified that speaks of at least one GPU.
# scope: document
attested if facts.profile.gpu.attestation == "any"

attested if {
	facts.profile.gpu.attestation == "when-confidential"
	facts.profile.gpu.confidential == "when-asked"
	gpu.unasked
}

attested if {
	facts.profile.gpu.attestation in {"when-confidential", "always"}
	found := input.report.facts.gpu.attestation
	found.verified == true
	is_array(found.devices)
	count(found.devices) > 0
}

# METADATA
# title: The state of the GPUs is a record
# description: It was played back, so nothing is known of the GPUs of this machine.
# custom:
#   id: training.gpu-recorded
#   severity: high
#   remediation: Take the setting `gpu_record` away where trainings count
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not measured
	message := sprintf(
		"recorded: %v; profile %v accepts a record: %v",
		[
			facts.shown_field(["report", "facts", "gpu", "recorded"]),
			facts.shown_profile,
			facts.shown_parameter("gpu", "accept_recorded"),
		],
	)
}

# METADATA
# title: The memory of a GPU was not overwritten
# description: What the one before left in it, or what this training leaves, can be read by the next.
# custom:
#   id: training.gpu-scrub
#   severity: medium
#   remediation: Ask for it (`scrub` of the step's GPUs), with torch for CUDA beside Interlock
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not scrubbed
	message := sprintf(
		"memory overwritten before: %v, after: %v; profile %v asks for it: %v",
		[
			facts.shown_field(["report", "facts", "gpu", "scrub", "before", "done"]),
			facts.shown_field(["report", "facts", "gpu", "scrub", "after", "done"]),
			facts.shown_profile,
			facts.shown_parameter("gpu", "require_scrub"),
		],
	)
}

# METADATA
# title: The GPUs are not attested
# description: No verified attestation speaks for them, and the profile asks for one.
# custom:
#   id: training.gpu-attestation
#   severity: high
#   remediation: Pin the attestation service's keys (setting `gpu_keys`) where GPUs are in confidential mode
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010.000}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not attested
	message := sprintf(
		"attestation verified: %v; profile %v says %v",
		[
			facts.shown_field(["report", "facts", "gpu", "attestation", "verified"]),
			facts.shown_profile,
			facts.shown_parameter("gpu", "attestation"),
		],
	)
}
