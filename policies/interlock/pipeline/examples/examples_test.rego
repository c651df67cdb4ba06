# METADATA
# title: Pipelines that are allowed
# description: The tests of the pack start from these.
package interlock.pipeline.examples_test

import data.interlock.examples_test as documents

step(id) := {
	"id": id,
	"gate": "",
	"genuine": true,
	"overrides": [],
	"subject": "",
	"protects": "",
	"because": "",
	"requires": [],
	"inputs": [],
	"outputs": [],
	"starts": [],
	"rule": "all_success",
	"needs_all_upstreams": true,
	"setup": false,
	"teardown": false,
	"image": "",
	"cached": false,
	"settings": [],
	"unguarded": "",
	"foreign_receipts": [],
	"installs": [],
	"secrets": [],
	"mounts": [],
}

image := "ghcr.io/acme/train@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

joined := {
	"steps": [
		object.union(step("validate"), {"gate": "data-validation", "subject": "s3://lake/raw"}),
		object.union(step("poisoning"), {"gate": "data-poisoning", "subject": "s3://lake/train"}),
		object.union(step("load"), {
			"cached": true,
			"image": image,
			"inputs": ["s3://lake/raw"],
			"outputs": ["s3://lake/train"],
			"settings": [{"name": "SPLIT", "kind": "env", "shape": "plain"}],
		}),
		object.union(step("train"), {
			"gate": "training",
			"subject": "s3://models/digits",
			"protects": "training",
			"because": "it makes a model",
			"inputs": ["s3://lake/train"],
			"outputs": ["s3://models/digits"],
			"image": image,
		}),
		object.union(step("scan"), {"gate": "artifact-scan", "subject": "s3://models/digits"}),
		object.union(step("promote"), {
			"protects": "deployment",
			"requires": ["data-poisoning"],
			"inputs": ["s3://models/digits"],
			"starts": ["canary"],
		}),
		object.union(step("notify"), {"rule": "all_done", "needs_all_upstreams": false}),
	],
	"edges": [
		["validate", "load"],
		["poisoning", "load"],
		["load", "train"],
		["train", "scan"],
		["scan", "promote"],
		["promote", "notify"],
	],
}

with_graph(pipeline) := object.union(
	documents.document("gate", "pipeline", {"steps": count(pipeline.steps)}, [], [], {}),
	{"report": {"facts": {"pipeline": pipeline}}},
)

pipeline := with_graph(joined)

# The example with one change of its graph.
changed(path, value) := json.patch(pipeline, [{
	"op": "add",
	"path": concat("/", ["report/facts/pipeline", path]),
	"value": value,
}])
