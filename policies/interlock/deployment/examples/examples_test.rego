# METADATA
# title: Deployments that are allowed
# description: |-
#   The tests of the pack start from a deployment that declares everything, under a profile that asks for everything.
package interlock.deployment.examples_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as cluster

data_digest := "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

image_digest := "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

material(role, name, digest, gates) := {
	"role": role,
	"subject": {"name": name, "uri": "", "digest": {"sha256": digest}},
	"receipts": [documents.receipt(gate) | some gate in gates],
}

lineage := [
	material("data", "train.parquet", data_digest, ["data-validation", "data-poisoning"]),
	material("code", "train.py", documents.digest, []),
	material("image", "ghcr.io/acme/train", image_digest, ["artifact-scan"]),
]

approval := {
	"id": "approval-1",
	"reason": "evaluated on the holdout",
	"digest": {"sha256": documents.digest},
	"step": "deployment",
	"issued": "2026-11-23T11:30:00.000000Z",
	"expires": "2026-11-24T11:30:00.000000Z",
	"by": "bob",
	"keyid": "7d1e",
	"dev": false,
}

network_policy := {
	"apiVersion": "networking.k8s.io/v1",
	"kind": "NetworkPolicy",
	"metadata": {"name": "it", "namespace": "ml"},
	"spec": {
		"podSelector": {"matchLabels": {"app": "it"}},
		"policyTypes": ["Ingress", "Egress"],
		"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]}],
		"egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
	},
}

pod := object.union(cluster.gpu_pod, {"metadata": {"labels": {"app": "it"}}})

requested := {
	"to": "fraud/champion",
	"author": "alice",
	"image": cluster.image,
	"rollout": {"canary_percent": 5, "rollback_to": "fraud/champion@sha256:60303ae2"},
	"manifests": [pod, network_policy],
}

full := object.union(documents.deployment_guard, {
	"lineage": lineage,
	"approvals": [approval],
	"requested": requested,
})

# Profile standard, asking for all that this pack can ask for.
demanding := object.union(data.interlock.profiles, {"standard": {"deployment": {
	"required_of_data": ["data-validation", "data-poisoning"],
	"required_of_image": ["artifact-scan"],
	"approvals": 1,
	"rollout": "required",
	"max_canary_percent": 20,
	"manifests": "required",
}}})

changed(path, value) := json.patch(full, [{"op": "add", "path": path, "value": value}])

# The full example without the value at `path`, with null there, and with values of other types: fewer than
# `documents.spoiled` has, because each answer takes the rules of pack evidence once for each material.
spoiled(path) := {json.remove(full, [path])} | {documents.changed(full, path, wrong) |
	some wrong in [null, 7, {"text": 1}]
	type_name(wrong) != type_name(documents.at(full, path))
}
