# METADATA
# title: Tests of dataset.rows
package interlock.dataset.rows_test

import data.interlock.dataset.rows
import data.interlock.examples_test as examples

test_the_example_passes if {
	every name in ["validation", "poisoning"] {
		rows.deny == set() with input as examples.allowed[name]
	}
}

test_an_empty_table_is_denied if {
	changed := examples.changed(examples.validation, "report/measures/rows/value", 0)
	{[reason.id, reason.message] | some reason in rows.deny} == {[
		"dataset.rows",
		"0 rows; profile standard asks for at least 1",
	]} with input as changed
}

test_a_scan_of_an_empty_table_is_denied if {
	changed := examples.changed(examples.poisoning, "report/measures/rows/value", 0.5)
	{[reason.id, reason.message] | some reason in rows.deny} == {[
		"dataset.rows",
		"0.5 rows; profile standard asks for at least 1",
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["validation", "poisoning"] {
		every path in ["report", "report/measures", "report/measures/rows", "report/measures/rows/value"] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(rows.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name, path in {
		"validation": "standard/validation/min_rows",
		"poisoning": "standard/poisoning/min_rows",
	} {
		every profiles in examples.profiles_without(path) {
			count(rows.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
		}
	}
}

test_other_gates_are_not_judged if rows.deny == set() with input as examples.artifact
