# METADATA
# title: Tests of gate.findings
package interlock.gate.findings_test

import data.interlock.examples_test as examples
import data.interlock.gate.findings

test_the_example_passes if {
	every name in ["validation", "artifact", "finished_training", "training_guard", "deployment_guard"] {
		findings.deny == set() with input as examples.allowed[name]
	}
}

test_an_error_is_denied if {
	changed := examples.changed(examples.artifact, "report/findings/0/level", "error")
	{[reason.id, reason.message] | some reason in findings.deny} == {[
		"gate.findings",
		"1 found: artifact-scan.format: seen",
	]} with input as changed
}

test_a_finding_that_is_no_object_is_denied if {
	changed := examples.changed(examples.artifact, "report/findings", [7])
	{[reason.id, reason.message] | some reason in findings.deny} == {[
		"gate.findings",
		"the findings of the report cannot be read",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["validation", "artifact", "finished_training", "training_guard", "deployment_guard"] {
		every path in ["report", "report/findings"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(findings.deny) > 0 with input as document
			}
		}
	}
}

# Without its only finding the report is as clean as before.
no_findings := {json.remove(examples.artifact, ["report/findings/0"])}

test_every_level_must_be_there_and_known if {
	every path in ["report/findings/0", "report/findings/0/level"] {
		every document in examples.spoiled(examples.artifact, path) - no_findings {
			count(findings.deny) > 0 with input as document
		}
	}
}

test_an_unknown_level_is_denied if {
	changed := examples.changed(examples.artifact, "report/findings/0/level", "none")
	count(findings.deny) == 1 with input as changed
}

test_poisoning_is_judged_by_its_measures if {
	changed := examples.changed(examples.poisoning, "report/findings/0/level", "error")
	findings.deny == set() with input as changed
}
