# METADATA
# title: Tests of the typed reads
package interlock.facts_test

import data.interlock.examples_test as examples
import data.interlock.facts

test_a_rule_without_metadata_still_denies if {
	every about in [
		{},
		{"title": "x"},
		{
			"title": "x",
			"custom": {
				"id": "x",
				"severity": "low",
				"remediation": "",
			},
		},
	] {
		reason := facts.reason(about, "why")
		reason.id == "policy.rule-without-metadata"
		reason.severity == "critical"
		reason.message == "why"
	}
}

test_texts_are_always_defined if {
	every document in {{}, {"profile": 7}, {"report": "x", "profile": null}} {
		facts.shown_measure("rows") == "nothing readable" with input as document
		facts.shown_limit("a", "b") == "nothing (no number a.b)" with input as document
		facts.shown_names("a", "b") == "nothing (no list a.b)" with input as document
		facts.shown_profile with input as document
	}
}

test_numbers_are_short if {
	facts.shown(0.0123456) == "0.0123"
	facts.shown(5) == "5"
	facts.shown(50000) == "50000"
	facts.shown(123456789012345) == "123456789012345"
	facts.shown("x") == "x"
}

test_an_empty_list_is_shown_as_nothing if {
	facts.shown_names("artifacts", "formats") == "nothing (no list artifacts.formats)" with input as examples.artifact
		with data.interlock.profiles as {"standard": {"artifacts": {"formats": []}}}
}

test_reads_are_typed if {
	facts.measure("rows") == 50000 with input as examples.validation
	every path in ["report", "report/measures", "report/measures/rows", "report/measures/rows/value"] {
		every document in examples.spoiled(examples.validation, path) {
			not facts.measure("rows") with input as document
		}
	}
	every profiles in examples.profiles_without("standard/validation/min_rows") {
		not facts.limit("validation", "min_rows") with input as examples.validation
			with data.interlock.profiles as profiles
	}
	not facts.names("artifacts", "formats") with input as examples.artifact
		with data.interlock.profiles as {"standard": {"artifacts": {"formats": ["safetensors", null]}}}
	every profiles in examples.profiles_without("standard/artifacts/formats") {
		not facts.permitted("artifacts", "formats", "safetensors") with input as examples.artifact
			with data.interlock.profiles as profiles
	}
}

acme := {
	"base": {"a": {"x": 1, "y": 2}, "list": [1, 2], "n": 1},
	"standard": {"extends": "base", "a": {"y": 3}, "list": [3]},
}

test_a_profile_lies_over_the_one_it_extends if {
	facts.profile == {"a": {"x": 1, "y": 3}, "list": [3], "n": 1} with input as examples.validation
		with data.interlock.profiles as acme
}

test_a_profile_that_extends_nothing_there_is_no_profile if {
	every wrong in ["missing", "standard", "grandchild", null, true, 7, "", [], {}] {
		not facts.profile with input as examples.validation
			with data.interlock.profiles as object.union(acme, {
				"grandchild": {"extends": "base"},
				"standard": {"extends": wrong},
				"text": "base",
			})
	}
	every wrong in [null, true, 7, "text", ["extends"]] {
		not facts.profile with input as examples.validation with data.interlock.profiles as {"standard": wrong}
		not facts.profile with input as examples.validation
			with data.interlock.profiles as {"base": wrong, "standard": {"extends": "base"}}
	}
}

test_parameters_as_text_are_always_defined if {
	facts.shown_parameter("gpu", "exclusive") == "true" with input as examples.validation
	facts.shown_parameter("gpu", "nothing") == "nothing (no gpu.nothing)" with input as examples.validation
	facts.shown_parameter("gpu", "exclusive") == "nothing (no gpu.exclusive)" with input as {}
}

test_long_texts_are_cut if {
	long := concat("", [sprintf("%d", [n]) | some n in numbers.range(1000, 1999)])
	count(facts.shown(long)) == 504
	endswith(facts.shown([long]), " ...")
}

test_a_list_with_an_empty_text_permits_nothing_by_it if {
	every place in ["/etc", "//x", "x"] {
		not facts.permitted_place("dataset", "sources", place) with input as examples.complete.validation
			with data.interlock.profiles as examples.strictly("dataset/sources", [""])
	}
}
