# METADATA
# title: Tests of dataset.drift
package interlock.dataset.drift_test

import data.interlock.dataset.drift
import data.interlock.examples_test as examples

complete := examples.complete.poisoning

sure := examples.changed(complete, "report/measures/drift/value", 0.9)

ids(reasons) := {reason.id | some reason in reasons}

test_the_complete_example_passes if {
	drift.deny == set() with input as complete
	drift.warn == set() with input as complete
}

test_a_profile_that_does_not_ask_passes if drift.deny == set() with input as examples.poisoning

without := json.remove(complete, [sprintf("report/measures/%s", [name]) | some name in drift.compared])

test_a_scan_that_compared_nothing_passes if drift.deny == set() with input as without

test_a_scan_that_must_compare_and_did_not_is_denied if {
	"dataset.not-compared" in ids(drift.deny) with input as without
		with data.interlock.profiles as examples.strictly("drift/required", true)
}

test_a_comparison_without_evidence_is_denied if {
	cut := json.remove(complete, ["report/measures/drift"])
	"dataset.not-compared" in ids(drift.deny) with input as cut
}

test_large_differences_that_nobody_is_sure_of_pass if {
	every name in object.keys(drift.bounds) {
		changed := examples.changed(complete, sprintf("report/measures/%s/value", [name]), 0.9)
		drift.deny == set() with input as changed
	}
}

test_each_large_difference_is_denied if {
	every name in object.keys(drift.bounds) {
		changed := examples.changed(sure, sprintf("report/measures/%s/value", [name]), 0.9)
		ids(drift.deny) == {"dataset.drift"} with input as changed
	}
}

test_the_measure_is_named if {
	changed := examples.changed(sure, "report/measures/label_drift/value", 0.9)
	{reason.message | some reason in drift.deny} == {
		"label_drift is 0.9, with evidence 0.9; profile strict bears 0.25",
	} with input as changed
}

test_a_small_difference_that_is_sure_is_told_and_passes if {
	drift.deny == set() with input as sure
	ids(drift.warn) == {"dataset.drifted"} with input as sure
}

test_a_profile_that_bounds_nothing_still_tells if {
	open := object.union(sure, {"profile": "standard"})
	drift.deny == set() with input as open
	ids(drift.warn) == {"dataset.drifted"} with input as open
}

test_rows_of_new_sources_are_denied if {
	changed := examples.changed(complete, "report/measures/new_source_fraction/value", 0.011)
	{[reason.id, reason.message] | some reason in drift.deny} == {[
		"dataset.new-sources",
		"0.011 of the rows come from new sources; profile strict bears 0.01",
	]} with input as changed
}

test_negative_measures_are_denied if {
	every name in drift.compared {
		changed := examples.changed(complete, sprintf("report/measures/%s/value", [name]), -0.1)
		count(drift.deny) > 0 with input as changed
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every name in drift.compared {
		every ending in ["", "/value"] {
			every document in examples.spoiled(complete, sprintf("report/measures/%s%s", [name, ending])) {
				count(drift.deny) > 0 with input as document
			}
		}
	}
	every path in ["report", "report/measures"] {
		every document in examples.spoiled(complete, path) {
			count(drift.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["required", "max_unsure", "max_feature", "max_label", "max_distribution", "max_new_sources"] {
		every profiles in examples.profiles_without(sprintf("strict/drift/%s", [name])) {
			count(drift.deny) > 0 with input as sure with data.interlock.profiles as profiles
		}
	}
	every profiles in examples.profiles_without("strict/drift") {
		count(drift.deny) > 0 with input as complete with data.interlock.profiles as profiles
	}
}
