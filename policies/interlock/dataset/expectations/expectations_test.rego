# METADATA
# title: Tests of dataset.expectations
package interlock.dataset.expectations_test

import data.interlock.dataset.expectations
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["validation"] {
		expectations.deny == set() with input as examples.allowed[name]
	}
}

test_a_suite_that_evaluated_nothing_is_denied if {
	changed := examples.changed(examples.validation, "report/measures/expectations_evaluated/value", 0)
	{[reason.id, reason.message] | some reason in expectations.deny} == {[
		"dataset.expectations-evaluated",
		"0 expectations evaluated; profile standard asks for at least 1",
	]} with input as changed
}

test_a_failed_expectation_is_denied if {
	changed := examples.changed(examples.validation, "report/measures/expectations_failed/value", 2)
	{[reason.id, reason.message] | some reason in expectations.deny} == {[
		"dataset.expectations-failed",
		"2 of 12 expectations failed",
	]} with input as changed
}

test_an_expectation_with_an_error_is_denied if {
	changed := examples.changed(examples.validation, "report/measures/expectations_errored/value", 1)
	{[reason.id, reason.message] | some reason in expectations.deny} == {[
		"dataset.expectations-errored",
		"1 expectations could not be evaluated",
	]} with input as changed
}

test_a_missing_required_expectation_is_denied if {
	changed := examples.changed(examples.validation, "report/measures/required_missing/value", 1)
	{[reason.id, reason.message] | some reason in expectations.deny} == {[
		"dataset.expectations-required",
		"1 required expectations are not in the suite",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["validation"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/expectations_evaluated",
			"report/measures/expectations_evaluated/value",
			"report/measures/expectations_failed",
			"report/measures/expectations_failed/value",
			"report/measures/expectations_errored",
			"report/measures/expectations_errored/value",
			"report/measures/required_missing",
			"report/measures/required_missing/value",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(expectations.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["validation"] {
		every path in ["standard/validation", "standard/validation/min_expectations"] {
			every profiles in examples.profiles_without(path) {
				count(expectations.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}

test_no_profile_can_ask_for_no_expectation if {
	changed := examples.changed(examples.validation, "report/measures/expectations_evaluated/value", 0)
	profiles := json.patch(data.interlock.profiles, [{
		"op": "replace",
		"path": "standard/validation/min_expectations",
		"value": 0,
	}])
	count(expectations.deny) == 1 with input as changed with data.interlock.profiles as profiles
}
