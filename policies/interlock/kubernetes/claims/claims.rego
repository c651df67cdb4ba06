# METADATA
# title: The receipt that an object names
# description: |-
#   An object that uses a GPU, trains or serves says by two annotations which receipt opens it and for which bytes. With
#   `receipts: present` only their form is checked, and whoever creates the object can write them. With
#   `receipts: known` the receipt must stand in `data.interlock_admission.receipts`, which somebody who verified the
#   ledger brings to OPA; it lies outside of this bundle's root, so that another bundle or the data API can bring it.
#   Interlock's own webhook looks the receipt up in the ledger and puts it into `input.receipts`; then it must be good
#   under every profile. Only who asks can set that field, and an answer goes to nobody else.
#   None of these looks into a running pod: that its bytes are those is what the guard in it checks.
# schemas:
#   - input: schema.admission_review
package interlock.kubernetes.claims

import data.interlock.kubernetes.gpu
import data.interlock.kubernetes.parameters
import data.interlock.kubernetes.workloads

# METADATA
# title: The annotations
# description: Names of the two.
annotations := {"receipt": "interlock.dev/receipt", "subject": "interlock.dev/subject-sha256"}

# METADATA
# title: The steps that a kind stands for
# description: Receipts of these gates open it; for a kind that is not here those of either.
gates := {
	"serving.kserve.io/InferenceService": {"deployment"},
	"serving.kserve.io/LLMInferenceService": {"deployment"},
	"trainer.kubeflow.org/TrainJob": {"training"},
}

# METADATA
# title: Why an object must name a receipt
# description: Texts; empty when it need not.
causes(manifest) := by_kind(manifest) | by_gpu(manifest)

# METADATA
# title: Kinds that must always name one
# description: A TrainJob may wait for its receipt as long as it is suspended.
by_kind(manifest) := {"it serves a model"} if {
	workloads.kind(manifest) in {"serving.kserve.io/InferenceService", "serving.kserve.io/LLMInferenceService"}
} else := {"a TrainJob trains as soon as it is not suspended"} if {
	workloads.kind(manifest) == "trainer.kubeflow.org/TrainJob"
	not suspended(manifest)
} else := set()

# METADATA
# title: Objects of every kind that use a GPU
# description: |-
#   All but those that run nothing themselves (`templates` in the profile), and a suspended TrainJob. A kind that nobody
#   has heard of is among them.
by_gpu(manifest) := gpu.uses(manifest) if {
	not runs_nothing(manifest)
} else := set()

# METADATA
# title: Whether an object runs nothing
# description: Undefined where the profile cannot say so.
# scope: document
runs_nothing(manifest) if workloads.kind(manifest) in parameters.names("kubernetes", "templates")

runs_nothing(manifest) if {
	workloads.kind(manifest) == "trainer.kubeflow.org/TrainJob"
	suspended(manifest)
}

# METADATA
# title: Whether a TrainJob waits
# description: Undefined unless it says so.
suspended(manifest) if manifest.spec.suspend == true

# METADATA
# title: What an object names
# description: Undefined unless both annotations are there in their form.
named(manifest) := {"receipt": receipt, "subject": subject} if {
	receipt := workloads.annotations(manifest)[annotations.receipt]
	is_string(receipt)
	regex.match(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`, receipt)
	subject := workloads.annotations(manifest)[annotations.subject]
	is_string(subject)
	regex.match(`^[0-9a-f]{64}$`, subject)
}

# METADATA
# title: What is wrong with the receipt that an object names
# description: Always defined; empty when nothing is wrong.
problem(manifest) := "" if {
	formal(manifest)
} else := sprintf("it carries no annotations %s and %s in their form", [annotations.receipt, annotations.subject]) if {
	not carries(manifest)
} else := "" if {
	good(manifest)
} else := sprintf("receipt %s does not open it: %s", [named(manifest).receipt, why]) if {
	why := told(named(manifest).receipt)
} else := sprintf("receipt %s is not known here as one that opens it for these bytes now", [named(manifest).receipt])

# METADATA
# title: The form is all that the profile asks for
# description: Undefined unless an object names a receipt, and nobody looked it up.
formal(manifest) if {
	named(manifest)
	not fed
	parameters.profile.kubernetes.receipts == "present"
}

# METADATA
# title: Why a receipt that was looked up does not count
# description: Undefined where it does, or where nobody said why.
told(id) := substring(why, 0, 300) if {
	why := looked_up[id].problem
	is_string(why)
	why != ""
}

# METADATA
# title: Whether an object names a receipt at all
# description: Undefined unless both annotations are there in their form.
carries(manifest) if named(manifest)

# METADATA
# title: The receipt is known, allows, is for these bytes and this kind of step, and has not expired
# description: Undefined unless all of it holds.
good(manifest) if {
	parameters.profile.kubernetes.receipts in {"known", "present"}
	claim := named(manifest)
	known := recorded(claim.receipt)
	known.verdict == "ALLOW"
	known.stage == "guard"
	known.subject == claim.subject
	known.gate in object.get(gates, workloads.kind(manifest), {"deployment", "training"})
	is_string(known.expires)
	time.parse_rfc3339_ns(known.expires) > time.now_ns()
}

# METADATA
# title: Somebody looked the receipts of this question up
# description: Whatever stands there; what cannot be read opens nothing.
fed if {
	some key in object.keys(input)
	key == "receipts"
}

# METADATA
# title: What was found of the receipts
# description: Undefined where nobody looked.
looked_up := input.receipts

# METADATA
# title: What is known of a receipt
# description: Undefined for one that is not known, whose signer the profile does not accept, or that was taken back.
# scope: document
recorded(id) := known if {
	not fed
	known := data.interlock_admission.receipts[id]
}

recorded(id) := known if {
	fed
	known := looked_up[id]
	known.problem == ""
	signed(known)
}

# METADATA
# title: The profile accepts the signer of a receipt
# description: Undefined unless it is no development key, or the profile takes those.
# scope: document
signed(known) if known.dev == false

signed(known) if {
	known.dev == true
	parameters.profile.evidence.accept_dev_receipts == true
}
