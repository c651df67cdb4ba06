# METADATA
# title: Tests of the decision
package interlock.decision_test

import data.interlock.decision
import data.interlock.examples_test as examples

test_every_example_is_allowed if {
	every example in examples.allowed {
		decision.result == {"allow": true, "reasons": [], "warnings": [], "exemptions": []} with input as example
	}
}

test_strict_profile_allows_what_is_complete if {
	clean := {"allow": true, "reasons": [], "warnings": [], "exemptions": []}
	every name in ["validation", "poisoning", "artifact", "evaluation", "finished_training", "training_guard"] {
		decision.result == clean with input as examples.complete[name]
			with data.interlock.budgets as examples.budgets
			with data.interlock.evaluations as examples.evaluations
	}
}

test_nothing_is_allowed_without_input if {
	not decision.result.allow with input as {}
	count(decision.result.reasons) > 0 with input as {}
}

test_a_gate_without_rules_is_denied if {
	every gate in ["inference-probe", "no-such-gate"] {
		changed := object.union(examples.validation, {"gate": gate, "report": {"gate": gate}})
		[reason.id | some reason in decision.result.reasons] == ["gate.no-rules"] with input as changed
		not decision.result.allow with input as changed
	}
}

test_a_guard_of_another_kind_is_denied if {
	changed := object.union(examples.training_guard, {"gate": "model-probe", "report": {"gate": "model-probe"}})
	some reason in decision.result.reasons with input as changed
	reason.id == "gate.no-rules"
}

test_gate_and_stage_are_needed_in_every_example if {
	every example in examples.allowed {
		every path in ["gate", "stage", "profile"] {
			every document in examples.spoiled(example, path) {
				not decision.allow with input as document
			}
		}
	}
}

test_reasons_of_every_pack_arrive if {
	ids := {reason.id |
		some example in [
			json.patch(examples.validation, [{"op": "replace", "path": "report/measures/rows/value", "value": 0}]),
			json.patch(examples.artifact, [{"op": "replace", "path": "report/measures/unsafe_globals/value", "value": 1}]),
			json.patch(examples.finished_training, [{
				"op": "replace",
				"path": "report/measures/exit_status/value",
				"value": 1,
			}]),
			json.patch(examples.training_guard, [{"op": "replace", "path": "receipts/0/verdict", "value": "DENY"}]),
		]
		some reason in decision.result.reasons with input as example
	}
	ids == {"dataset.rows", "model.unsafe-code", "training.exit-status", "evidence.verdict"}
}

test_unknown_profile_is_the_only_reason if {
	every example in examples.with_profile("relaxed") {
		[reason.id | some reason in decision.result.reasons] == ["gate.profile"] with input as example
	}
}

test_the_worst_reason_comes_first if {
	mixed := [
		{"id": "b", "severity": "low", "message": "m"},
		{"id": "a", "severity": "medium", "message": "m"},
		{"id": "c", "severity": "critical", "message": "m"},
		{"id": "d", "severity": "strange", "message": "m"},
		{"id": "e", "severity": "high", "message": "m"},
	]
	[reason.id | some reason in decision.by_severity(mixed)] == ["d", "c", "e", "a", "b"]
}

test_warnings_of_every_pack_arrive if {
	skipped := json.patch(examples.poisoning, [
		{"op": "replace", "path": "report/coverage/skipped", "value": [{"path": "a", "reason": "b"}]},
		{"op": "replace", "path": "report/measures/detectors_skipped/value", "value": 1},
	])
	[w.id | some w in decision.result.warnings] == [
		"dataset.detectors-skipped",
		"gate.coverage-skipped",
	] with input as skipped
	dev := object.union(examples.with_profile("dev").training_guard, {"receipts": [
		object.union(examples.receipt("data-validation"), {"dev": true}),
		examples.receipt("data-poisoning"),
	]})
	[w.id | some w in decision.result.warnings] == ["evidence.signer"] with input as dev
	decision.result.allow with input as dev
}

test_a_reason_of_another_shape_is_still_said if {
	every strange in ["denied", 7, {"id": 7}, {"message": "m"}, {}, []] {
		decision.by_severity({strange}) == [strange]
	}
}

# One pack with one rule, which applies, denies and warns.
pack(name, chosen) := {"rule": {
	"applies": true,
	"deny": {{"id": name, "message": "d"}},
	"warn": {{"id": name, "message": "w"}},
}} if {
	name == chosen
} else := {}

test_every_pack_takes_part if {
	every name in ["dataset", "model", "training", "pipeline", "deployment", "evidence"] {
		result := decision.result with input as examples.changed(examples.validation, "gate", "inference-probe")
			with input.report.gate as "inference-probe"
			with data.interlock.dataset as pack("dataset", name)
			with data.interlock.model as pack("model", name)
			with data.interlock.training as pack("training", name)
			with data.interlock.pipeline as pack("pipeline", name)
			with data.interlock.deployment as pack("deployment", name)
			with data.interlock.evidence as pack("evidence", name)
		[reason.id | some reason in result.reasons] == [name]
		[warning.id | some warning in result.warnings] == [name]
	}
}

misshapen(denials) := {"acme": {"applies": true, "deny": denials}}

test_a_denial_of_another_shape_in_gate_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.gate as misshapen(denials)
		said == {"the deny of data.interlock.gate.acme is no set of reasons"}
	}
}

test_a_denial_of_another_shape_in_dataset_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.dataset as misshapen(denials)
		said == {"the deny of data.interlock.dataset.acme is no set of reasons"}
	}
}

test_a_denial_of_another_shape_in_model_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.model as misshapen(denials)
		said == {"the deny of data.interlock.model.acme is no set of reasons"}
	}
}

test_a_denial_of_another_shape_in_training_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.training as misshapen(denials)
		said == {"the deny of data.interlock.training.acme is no set of reasons"}
	}
}

test_a_denial_of_another_shape_in_pipeline_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.pipeline as misshapen(denials)
		said == {"the deny of data.interlock.pipeline.acme is no set of reasons"}
	}
}

test_a_denial_of_another_shape_in_deployment_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.deployment as misshapen(denials)
		said == {"the deny of data.interlock.deployment.acme is no set of reasons"}
	}
}

test_a_denial_of_another_shape_in_evidence_is_denied if {
	every denials in [true, false, "no", ["no"], {"reason": "no"}, null] {
		said := {reason.message |
			some reason in decision.reasons
			reason.id == "policy.denial-without-shape"
		} with input as examples.validation with data.interlock.evidence as misshapen(denials)
		said == {"the deny of data.interlock.evidence.acme is no set of reasons"}
	}
}
