# METADATA
# title: Tests of pipeline.graph
package interlock.pipeline.shape_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.shape

test_the_example_passes if shape.deny == set() with input as examples.pipeline

test_other_gates_are_not_judged if {
	every document in documents.allowed {
		shape.deny == set() with input as document
	}
}

test_every_field_read_must_be_there_with_its_type if {
	fields := {concat("/", ["report/facts/pipeline/steps/0", field]) | some field, _ in examples.step("a")}
	paths := fields | {
		"report",
		"report/facts",
		"report/facts/pipeline",
		"report/facts/pipeline/steps",
		"report/facts/pipeline/steps/0",
		"report/facts/pipeline/steps/0/overrides/0",
		"report/facts/pipeline/steps/0/requires/0",
		"report/facts/pipeline/steps/0/inputs/0",
		"report/facts/pipeline/steps/0/outputs/0",
		"report/facts/pipeline/steps/0/starts/0",
		"report/facts/pipeline/steps/0/foreign_receipts/0",
		"report/facts/pipeline/steps/0/installs/0",
		"report/facts/pipeline/steps/0/secrets/0",
		"report/facts/pipeline/steps/0/mounts/0",
		"report/facts/pipeline/steps/2/settings/0",
		"report/facts/pipeline/steps/2/settings/0/name",
		"report/facts/pipeline/steps/2/settings/0/kind",
		"report/facts/pipeline/steps/2/settings/0/shape",
		"report/facts/pipeline/edges",
		"report/facts/pipeline/edges/0",
		"report/facts/pipeline/edges/0/0",
	}
	full := json.patch(examples.pipeline, [change |
		some field in shape.texts
		path := sprintf("report/facts/pipeline/steps/0/%s/0", [field])
		change := {"op": "add", "path": path, "value": "something"}
	])
	shape.deny == set() with input as full
	every path in paths {
		every spoiled in documents.spoiled(full, path) - {removed(full, path)} {
			count(shape.deny) == 1 with input as spoiled
		}
	}
}

# Without one of its items a list is as good as before.
removed(document, path) := json.remove(document, [path]) if {
	regex.match(`(settings|edges)/0$`, path)
} else := json.remove(document, [path]) if {
	some field in shape.texts
	endswith(path, sprintf("%s/0", [field]))
} else := null

test_a_graph_that_contradicts_itself_is_refused if {
	every change in [
		{"path": "steps", "value": []},
		{"path": "steps/0/id", "value": "train"},
		{"path": "steps/0/id", "value": ""},
		{"path": "steps/0/protects", "value": "everything"},
		{"path": "edges/0", "value": ["validate"]},
		{"path": "edges/0", "value": ["validate", "load", "train"]},
		{"path": "edges/0", "value": ["validate", "nowhere"]},
	] {
		{reason.id | some reason in shape.deny} == {"pipeline.graph"} with input as replaced(change)
	}
}

replaced(change) := documents.changed(
	examples.pipeline,
	concat("/", ["report/facts/pipeline", change.path]),
	change.value,
)
