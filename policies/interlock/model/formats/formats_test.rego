# METADATA
# title: Tests of model.formats
package interlock.model.formats_test

import data.interlock.examples_test as examples
import data.interlock.model.formats

told(files, formats) := sprintf("%d files of formats [%s]; profile standard allows %s", [
	files,
	formats,
	concat(", ", object.get(data.interlock.profiles, ["standard", "artifacts", "formats"], [])),
])

test_the_example_passes if {
	every name in ["artifact"] {
		formats.deny == set() with input as examples.allowed[name]
	}
}

test_a_pickle_is_denied if {
	changed := examples.changed(examples.artifact, "report/findings/0/evidence", `{"format": "pickle"}`)
	{[reason.id, reason.message] | some reason in formats.deny} == {[
		"model.formats",
		told(1, "pickle"),
	]} with input as changed
}

test_a_finding_that_names_no_format_is_denied if {
	changed := examples.changed(examples.artifact, "report/findings/0/evidence", "not json")
	{[reason.id, reason.message] | some reason in formats.deny} == {[
		"model.formats",
		told(1, "null"),
	]} with input as changed
}

test_a_file_without_a_format_is_denied if {
	changed := examples.changed(examples.artifact, "report/measures/files/value", 2)
	{[reason.id, reason.message] | some reason in formats.deny} == {[
		"model.formats",
		told(2, "safetensors"),
	]} with input as changed
}

test_a_model_without_files_is_denied if {
	changed := examples.changed(examples.artifact, "report/measures/files/value", 0)
	{[reason.id, reason.message] | some reason in formats.deny} == {[
		"model.formats",
		told(0, "safetensors"),
	]} with input as changed
}

test_every_field_read_must_be_there_with_its_type if {
	every name in ["artifact"] {
		every path in [
			"report",
			"report/measures",
			"report/measures/files",
			"report/measures/files/value",
			"report/findings",
			"report/findings/0",
			"report/findings/0/rule_id",
			"report/findings/0/evidence",
		] {
			every document in examples.spoiled(examples.allowed[name], path) {
				count(formats.deny) > 0 with input as document
			}
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every name in ["artifact"] {
		every path in ["standard/artifacts", "standard/artifacts/formats"] {
			every profiles in examples.profiles_without(path) {
				count(formats.deny) > 0 with input as examples.allowed[name] with data.interlock.profiles as profiles
			}
		}
	}
}
