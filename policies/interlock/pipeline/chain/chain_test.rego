# METADATA
# title: Tests of pipeline.chain
package interlock.pipeline.chain_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.chain
import data.interlock.pipeline.examples_test as examples

test_the_example_passes if {
	chain.deny == set() with input as examples.pipeline
	chain.applies with input as examples.pipeline
	chain.unheld == set() with input as examples.pipeline
}

test_a_graph_that_cannot_be_read_is_left_to_its_own_rule if {
	chain.deny == set() with input as documents.changed(examples.pipeline, "report/facts/pipeline/edges", null)
}

# Ways around a gate, each of it one change of a graph that is held.
ways := {
	"no edge from the gate": {"path": "edges/1", "value": ["poisoning", "notify"]},
	"a step that runs anyway": {"path": "steps/2/needs_all_upstreams", "value": false},
	"the protected step runs anyway": {"path": "steps/3/needs_all_upstreams", "value": false},
	"a setup on the way": {"path": "steps/2/setup", "value": true},
	"a teardown on the way": {"path": "steps/2/teardown", "value": true},
	"a gate that only looks like it": {"path": "steps/1/genuine", "value": false},
	"code put over the gate": {"path": "steps/1/overrides", "value": ["execute"]},
	"a gate as a setup": {"path": "steps/1/setup", "value": true},
	"a gate as a teardown": {"path": "steps/1/teardown", "value": true},
	"no gate": {"path": "steps/1/gate", "value": ""},
	"another gate": {"path": "steps/1/gate", "value": "data-validation"},
	"a gate on other data": {"path": "steps/1/subject", "value": "s3://lake/holdout"},
	"a gate that does not say on what": {"path": "steps/1/subject", "value": ""},
	"a step that uses something else": {"path": "steps/3/inputs", "value": ["s3://lake/other"]},
	"a step that says nothing": {"path": "steps/3/inputs", "value": []},
	"a step that names an empty thing": {"path": "steps/3/inputs", "value": [""]},
}

test_every_way_around_is_seen if {
	every name, way in ways {
		changed := documents.changed(examples.pipeline, concat("/", ["report/facts/pipeline", way.path]), way.value)
		unheld := chain.unheld with input as changed
		["train", "data-poisoning"] in unheld
		"pipeline.chain" in {reason.id | some reason in chain.deny} with input as changed
		name != ""
	}
}

test_one_sound_path_is_enough if {
	beside := json.patch(examples.pipeline, [
		{"op": "replace", "path": "report/facts/pipeline/steps/2/needs_all_upstreams", "value": false},
		{"op": "add", "path": "report/facts/pipeline/edges/-", "value": ["poisoning", "train"]},
		{"op": "add", "path": "report/facts/pipeline/edges/-", "value": ["validate", "train"]},
	])
	chain.unheld == set() with input as beside
}

test_a_gate_of_which_no_subject_is_asked_must_still_be_on_the_way if {
	{reason.message | some reason in chain.deny} == {concat(" ", [
		"step promote is not held by inference-probe: there is a sound gate,",
		"but no path leads from it on which every step needs its upstreams",
	])} with input as json.patch(examples.pipeline, [
		{"op": "replace", "path": "report/facts/pipeline/steps/6/gate", "value": "inference-probe"},
		{"op": "replace", "path": "report/facts/pipeline/steps/5/requires", "value": ["inference-probe"]},
	])
}

test_of_two_things_that_a_step_uses_each_needs_a_gate if {
	unheld := chain.unheld with input as examples.changed("steps/3/inputs/-", "config")
	{["train", "data-validation"], ["train", "data-poisoning"]} & unheld == {
		["train", "data-validation"],
		["train", "data-poisoning"],
	}
}

test_a_circle_ends if {
	chain.unheld == set() with input as examples.changed("edges/-", ["promote", "load"])
}

test_what_the_step_itself_asks_for_counts if {
	{reason.message | some reason in chain.deny} == {
		"step promote is not held by model-probe: there is no such gate in the pipeline",
	} with input as documents.changed(examples.pipeline, "report/facts/pipeline/steps/5/requires", ["model-probe"])
}

elsewhere := "the gate that is sound looks at something else than the step uses"

test_a_gate_on_what_the_input_was_made_from_counts_for_data_alone if {
	unmade := documents.changed(examples.pipeline, "report/facts/pipeline/steps/2/outputs", [])
	{reason.message | some reason in chain.deny} == {
		sprintf("step train is not held by data-validation: %s", [elsewhere]),
	} with input as unmade
	data_scanned := documents.changed(examples.pipeline, "report/facts/pipeline/steps/4/subject", "s3://lake/train")
	{reason.message | some reason in chain.deny} == {
		sprintf("step promote is not held by artifact-scan: %s", [elsewhere]),
	} with input as data_scanned
}

test_a_deployment_asks_for_gates_on_the_data_of_the_training_that_made_its_model if {
	unmade := chain.unheld with input as documents.changed(
		examples.pipeline, "report/facts/pipeline/steps/3/outputs",
		[""],
	)
	unmade == {["promote", "data-poisoning"]}
}

test_things_that_are_made_from_each_other_end if {
	circle := documents.changed(
		examples.pipeline, "report/facts/pipeline/steps/2/inputs",
		["s3://lake/raw", "s3://models/digits"],
	)
	chain.unheld == set() with input as circle
}

test_a_kind_whose_subject_is_no_input_counts_for_a_step_that_says_nothing if {
	probed := json.patch(examples.pipeline, [
		{"op": "replace", "path": "report/facts/pipeline/steps/1/gate", "value": "inference-probe"},
		{"op": "replace", "path": "report/facts/pipeline/steps/5/requires", "value": ["inference-probe"]},
		{"op": "replace", "path": "report/facts/pipeline/steps/5/inputs", "value": []},
	])
	unheld := chain.unheld with input as probed
	unheld == {["train", "data-poisoning"], ["promote", "artifact-scan"], ["promote", "training"]}
	said := "step promote is not held by training: the step does not say what it uses, so no gate can have looked at it"
	said in {reason.message | some reason in chain.deny} with input as probed
}

test_what_the_profile_requires_counts_though_the_step_asks_for_nothing if {
	unheld := chain.unheld with input as documents.changed(examples.pipeline, "report/facts/pipeline/edges", [])
	unheld == {
		["train", "data-validation"],
		["train", "data-poisoning"],
		["promote", "artifact-scan"],
		["promote", "training"],
		["promote", "data-poisoning"],
	}
}

test_the_message_says_what_is_in_the_way if {
	no_path := documents.changed(examples.pipeline, "report/facts/pipeline/edges/1", ["poisoning", "notify"])
	{reason.message | some reason in chain.deny} == {concat(" ", [
		concat("", ["step ", step, " is not held by data-poisoning:"]),
		"there is a sound gate, but no path leads from it on which every step needs its upstreams",
	]) |
		some step in ["train", "promote"]
	} with input as no_path
	false_gate := documents.changed(examples.pipeline, "report/facts/pipeline/steps/1/genuine", false)
	{reason.message | some reason in chain.deny} == {concat(" ", [
		concat("", ["step ", step, " is not held by data-poisoning:"]),
		"what claims to be the gate is not the real one, is overridden, names nothing, or is a setup or teardown",
	]) |
		some step in ["train", "promote"]
	} with input as false_gate
}

test_a_profile_that_requires_nothing_is_refused if {
	every wrong in [null, "data-validation", [], {}, [null], 7] {
		profiles := documents.changed(data.interlock.profiles, "standard/required/training", wrong)
		reasons := chain.deny with input as examples.pipeline with data.interlock.profiles as profiles
		{[reason.id, reason.message] | some reason in reasons} == {[
			"pipeline.nothing-required",
			"profile standard requires no gate before training step train",
		]}
	}
}
