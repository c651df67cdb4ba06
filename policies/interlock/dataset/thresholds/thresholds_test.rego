# METADATA
# title: Tests of dataset.thresholds
package interlock.dataset.thresholds_test

import data.interlock.dataset.thresholds
import data.interlock.examples_test as examples

complete := examples.complete.poisoning

test_the_complete_example_passes if thresholds.deny == set() with input as complete

test_a_profile_that_does_not_ask_passes if thresholds.deny == set() with input as examples.poisoning

test_many_flagged_rows_is_denied if {
	changed := examples.changed(complete, "report/measures/knn_flagged_rows/value", 51)
	{[reason.id, reason.message] | some reason in thresholds.deny} == {
		[
			"dataset.detector-threshold",
			concat("", [
				"detector knn flagged 51 of 50000 rows with strength 0.1; profile strict bears ",
				"{\"max_flagged_fraction\": 0.001, \"max_strength\": 0.5, \"required\": false}",
			]),
		],
	} with input as changed
}

test_a_strong_detector_is_denied if {
	changed := examples.changed(complete, "report/measures/pattern_strength/value", 0.51)
	{[reason.id, reason.message] | some reason in thresholds.deny} == {
		[
			"dataset.detector-threshold",
			concat("", [
				"detector pattern flagged 0 of 50000 rows with strength 0.51; profile strict bears ",
				"{\"max_flagged_fraction\": 0.001, \"max_strength\": 0.5, \"required\": false}",
			]),
		],
	} with input as changed
}

test_a_negative_count_is_denied if {
	changed := examples.changed(complete, "report/measures/knn_flagged_rows/value", -1)
	{[reason.id, reason.message] | some reason in thresholds.deny} == {
		[
			"dataset.detector-threshold",
			concat("", [
				"detector knn flagged -1 of 50000 rows with strength 0.1; profile strict bears ",
				"{\"max_flagged_fraction\": 0.001, \"max_strength\": 0.5, \"required\": false}",
			]),
		],
	} with input as changed
}

test_a_negative_strength_is_denied if {
	changed := examples.changed(complete, "report/measures/knn_strength/value", -0.1)
	{[reason.id, reason.message] | some reason in thresholds.deny} == {
		[
			"dataset.detector-threshold",
			concat("", [
				"detector knn flagged 3 of 50000 rows with strength -0.1; profile strict bears ",
				"{\"max_flagged_fraction\": 0.001, \"max_strength\": 0.5, \"required\": false}",
			]),
		],
	} with input as changed
}

test_a_scan_without_rows_is_denied if {
	changed := examples.changed(complete, "report/measures/rows/value", 0)
	{[reason.id, reason.message] | some reason in thresholds.deny} == {
		[
			"dataset.detector-threshold",
			concat("", [
				"detector knn flagged 3 of 0 rows with strength 0.1; profile strict bears ",
				"{\"max_flagged_fraction\": 0.001, \"max_strength\": 0.5, \"required\": false}",
			]),
		],
		[
			"dataset.detector-threshold",
			concat("", [
				"detector pattern flagged 0 of 0 rows with strength 0; profile strict bears ",
				"{\"max_flagged_fraction\": 0.001, \"max_strength\": 0.5, \"required\": false}",
			]),
		],
	} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/measures",
		"report/measures/knn_flagged_rows",
		"report/measures/knn_flagged_rows/value",
		"report/measures/knn_strength",
		"report/measures/knn_strength/value",
		"report/measures/pattern_flagged_rows",
		"report/measures/pattern_flagged_rows/value",
		"report/measures/pattern_strength",
		"report/measures/pattern_strength/value",
	] {
		every document in examples.spoiled(complete, path) {
			count(thresholds.deny) > 0 with input as document
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in [
		"strict/poisoning",
		"strict/poisoning/detectors",
		"strict/poisoning/detectors/others",
		"strict/poisoning/detectors/knn/max_flagged_fraction",
		"strict/poisoning/detectors/knn/max_strength",
	] {
		every profiles in examples.profiles_without(path) {
			count(thresholds.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
}

without := json.remove(complete, ["report/measures/knn_flagged_rows", "report/measures/knn_strength"])

test_a_detector_that_did_not_apply_passes if thresholds.deny == set() with input as without

test_a_detector_that_must_look_and_did_not_is_denied if {
	{reason.id | some reason in thresholds.deny} == {"dataset.detector-threshold"} with input as without
		with data.interlock.profiles as examples.strictly("poisoning/detectors/knn/required", true)
}

test_a_detector_that_the_profile_does_not_name_is_judged_by_the_limits_for_others if {
	foreign := object.union(complete, {"report": {"measures": {
		"spectral_flagged_rows": {"value": 0, "unit": "rows"},
		"spectral_strength": {"value": 0.6, "unit": ""},
	}}})
	{reason.message | some reason in thresholds.deny} == {concat("", [
		"detector spectral flagged 0 of 50000 rows with strength 0.6; profile strict bears ",
		`{"max_flagged_fraction": 0.001, "max_strength": 0.5, "required": false}`,
	])} with input as foreign
	half := json.remove(foreign, ["report/measures/spectral_strength"])
	count(thresholds.deny) == 1 with input as half
}

test_limits_of_another_type_are_denied if {
	every wrong in [null, true, 7, "any", [], {}] {
		count(thresholds.deny) > 0 with input as complete
			with data.interlock.profiles as examples.strictly("poisoning/detectors/knn", wrong)
	}
}

test_whether_a_detector_must_look_has_to_be_said if {
	every profiles in examples.profiles_without("strict/poisoning/detectors/knn/required") {
		count(thresholds.deny) > 0 with input as without with data.interlock.profiles as profiles
	}
}
