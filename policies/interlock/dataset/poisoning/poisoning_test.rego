# METADATA
# title: Tests of dataset.poisoning
package interlock.dataset.poisoning_test

import data.interlock.dataset.poisoning
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["poisoning"] {
		poisoning.deny == set() with input as examples.allowed[name]
	}
}

test_a_large_fraction_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/flagged_fraction/value", 0.05)
	{[reason.id, reason.message] | some reason in poisoning.deny} == {[
		"dataset.poisoning-flagged",
		concat("", [
			"3 of 50000 rows look poisoned (fraction 0.05); profile standard bears at most 10000 rows ",
			"and a fraction of 0.01",
		]),
	]} with input as changed
}

test_many_rows_are_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/flagged_rows/value", 10001)
	{[reason.id, reason.message] | some reason in poisoning.deny} == {[
		"dataset.poisoning-flagged",
		concat("", [
			"10001 of 50000 rows look poisoned (fraction 0.0001); profile standard bears at most 10000 ",
			"rows and a fraction of 0.01",
		]),
	]} with input as changed
}

test_a_negative_count_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/flagged_rows/value", -1)
	{[reason.id, reason.message] | some reason in poisoning.deny} == {[
		"dataset.poisoning-flagged",
		concat("", [
			"-1 of 50000 rows look poisoned (fraction 0.0001); profile standard bears at most 10000 ",
			"rows and a fraction of 0.01",
		]),
	]} with input as changed
}

test_a_negative_fraction_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/flagged_fraction/value", -0.5)
	{[reason.id, reason.message] | some reason in poisoning.deny} == {[
		"dataset.poisoning-flagged",
		concat("", [
			"3 of 50000 rows look poisoned (fraction -0.5); profile standard bears at most 10000 rows ",
			"and a fraction of 0.01",
		]),
	]} with input as changed
}

test_strong_evidence_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/strongest/value", 0.93)
	{[reason.id, reason.message] | some reason in poisoning.deny} == {[
		"dataset.poisoning-evidence",
		"the strongest detector's evidence is 0.93; profile standard bears at most 0.5",
	]} with input as changed
}

test_negative_evidence_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/strongest/value", -1)
	{[reason.id, reason.message] | some reason in poisoning.deny} == {[
		"dataset.poisoning-evidence",
		"the strongest detector's evidence is -1; profile standard bears at most 0.5",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["poisoning"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/flagged_rows",
			"report/measures/flagged_rows/value",
			"report/measures/flagged_fraction",
			"report/measures/flagged_fraction/value",
			"report/measures/strongest",
			"report/measures/strongest/value",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(poisoning.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["poisoning"] {
		every path in [
			"standard/poisoning",
			"standard/poisoning/max_flagged_rows",
			"standard/poisoning/max_flagged_fraction",
			"standard/poisoning/max_strongest",
		] {
			every profiles in examples.profiles_without(path) {
				count(poisoning.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}
