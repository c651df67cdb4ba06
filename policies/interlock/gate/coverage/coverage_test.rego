# METADATA
# title: Tests of gate.coverage
package interlock.gate.coverage_test

import data.interlock.examples_test as examples
import data.interlock.gate.coverage

test_the_example_passes if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		coverage.deny == set() with input as examples.allowed[name]
	}
}

test_nothing_looked_at_is_denied if {
	changed := examples.changed(examples.validation, "report/coverage/looked_at", [])
	{[reason.id, reason.message] | some reason in coverage.deny} == {[
		"gate.nothing-looked-at",
		"nothing of the subject was looked at (looked_at: [])",
	]} with input as changed
}

test_a_failed_part_is_denied if {
	changed := examples.changed(examples.validation, "report/coverage/failed", [{"path": "a.bin", "reason": "truncated"}])
	{[reason.id, reason.message] | some reason in coverage.deny} == {[
		"gate.coverage-failed",
		"parts of the subject could not be examined: a.bin (truncated)",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in [
		"validation",
		"poisoning",
		"artifact",
		"finished_training",
		"training_guard",
		"deployment_guard",
	] {
		every path in [
			"report",
			"report/coverage",
			"report/coverage/looked_at",
			"report/coverage/skipped",
			"report/coverage/failed",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(coverage.deny) > 0 with input as document
			}
		}
	}
}

skipping := examples.changed(
	examples.validation,
	"report/coverage/skipped",
	[{"path": "notes.md", "reason": "no model"}],
)

test_a_skipped_part_is_a_warning_where_the_profile_accepts_it if {
	coverage.deny == set() with input as skipping
	messages := {w.message | some w in coverage.warn} with input as skipping
	messages == {"parts of the subject were skipped: notes.md (no model)"}
}

test_a_skipped_part_is_denied_where_the_profile_does_not_accept_it if {
	strict := object.union(skipping, {"profile": "strict"})
	coverage.warn == set() with input as strict
	{[r.id, r.message] | some r in coverage.deny} == {[
		"gate.coverage-skipped",
		"profile strict accepts no skipped parts: notes.md (no model)",
	]} with input as strict
}

test_skipping_needs_the_parameter if {
	every path in ["standard/coverage", "standard/coverage/accept_skipped"] {
		every profiles in examples.profiles_without(path) {
			count(coverage.deny) > 0 with input as skipping with data.interlock.profiles as profiles
		}
	}
}

test_many_failed_parts_are_counted_not_listed if {
	many := [{"path": sprintf("f%d", [n]), "reason": "bad"} | some n in numbers.range(0, 7)]
	changed := examples.changed(examples.validation, "report/coverage/failed", many)
	{r.message | some r in coverage.deny} == {concat("", [
		"parts of the subject could not be examined: ",
		"f0 (bad); f1 (bad); f2 (bad); f3 (bad); f4 (bad); and 3 more",
	])} with input as changed
}
