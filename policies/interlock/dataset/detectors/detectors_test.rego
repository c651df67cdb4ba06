# METADATA
# title: Tests of dataset.detectors
package interlock.dataset.detectors_test

import data.interlock.dataset.detectors
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["poisoning"] {
		detectors.deny == set() with input as examples.allowed[name]
	}
}

test_a_scan_without_detectors_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/detectors_run/value", 0)
	{[reason.id, reason.message] | some reason in detectors.deny} == {[
		"dataset.detectors",
		"0 detectors ran; profile standard asks for at least 1",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["poisoning"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/detectors_run",
			"report/measures/detectors_run/value",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(detectors.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["poisoning"] {
		every path in ["standard/poisoning", "standard/poisoning/min_detectors"] {
			every profiles in examples.profiles_without(path) {
				count(detectors.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}

test_no_profile_can_ask_for_no_detector if {
	changed := examples.changed(examples.poisoning, "report/measures/detectors_run/value", 0)
	profiles := json.patch(data.interlock.profiles, [{
		"op": "replace",
		"path": "standard/poisoning/min_detectors",
		"value": 0,
	}])
	count(detectors.deny) == 1 with input as changed with data.interlock.profiles as profiles
}

test_a_detector_that_did_not_apply_is_a_warning if {
	changed := examples.changed(examples.poisoning, "report/measures/detectors_skipped/value", 2)
	{warning.message | some warning in detectors.warn} == {"2 detectors did not apply to this data"} with input as changed
	detectors.warn == set() with input as examples.poisoning
}
