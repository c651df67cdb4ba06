# METADATA
# title: Tests of deployment.lineage
package interlock.deployment.lineage_test

import data.interlock.deployment.examples_test as examples
import data.interlock.deployment.lineage
import data.interlock.examples_test as documents

reasons(document) := {[reason.id, reason.message] |
	# regal ignore:with-outside-test-context,external-reference
	some reason in lineage.deny with input as document with data.interlock.profiles as examples.demanding
}

ids(document) := {id | some [id, _] in reasons(document)}

test_the_example_passes if {
	reasons(examples.full) == set()
	lineage.applies with input as examples.full
}

test_a_lineage_may_be_absent_where_nothing_is_asked if {
	lineage.deny == set() with input as documents.deployment_guard
}

test_every_field_of_a_material_must_be_there_with_its_type if {
	every path in [
		"lineage",
		"lineage/0",
		"lineage/0/role",
		"lineage/0/subject",
		"lineage/0/subject/digest",
		"lineage/0/subject/digest/sha256",
		"lineage/0/receipts",
	] {
		every document in examples.spoiled(path) {
			count(reasons(document)) > 0
		}
	}
}

test_every_field_of_a_receipt_must_be_there_with_its_type if {
	every path in ["gate", "verdict", "issued", "expires", "profile", "dev", "same_run", "bundle_known"] {
		every document in examples.spoiled(concat("/", ["lineage/0/receipts/0", path])) {
			count(reasons(document)) > 0
		}
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["required_of_data", "required_of_image"] {
		every wrong in [null, true, 7, "data-validation", {}, [7]] {
			profiles := documents.changed(
				data.interlock.profiles,
				concat("/", ["standard/deployment", path]),
				wrong,
			)
			found := lineage.deny with input as examples.full with data.interlock.profiles as profiles
			{reason.id | some reason in found} == {"deployment.lineage-incomplete"}
		}
	}
}

test_a_role_that_is_missing_is_said if {
	reasons(documents.changed(examples.full, "lineage", [])) == {
		["deployment.lineage-incomplete", concat(" ", [
			"the lineage names no data; profile standard asks for its receipts of",
			"data-validation, data-poisoning",
		])],
		["deployment.lineage-incomplete", concat(" ", [
			"the lineage names no image; profile standard asks for its receipts of",
			"artifact-scan",
		])],
	}
}

# What may be wrong with the receipts of the data, each of it alone.
wrongs := {
	"a gate was not passed": {"gate": "model-probe"},
	"a gate refused": {"verdict": "DENY"},
	"a gate could not tell": {"verdict": "UNDECIDED"},
	"a development key": {"dev": true},
	"another run": {"same_run": false},
	"another bundle": {"bundle_known": false},
	"a laxer profile": {"profile": "dev"},
	"expired": {"expires": "2026-11-23T11:59:59Z"},
	"too old": {"issued": "2026-11-20T11:00:00Z"},
	"from the future": {"issued": "2026-11-23T13:00:00Z"},
}

test_the_receipts_of_the_data_are_judged_like_those_of_the_model if {
	every wrong in wrongs {
		receipts := [object.union(documents.receipt("data-validation"), wrong), documents.receipt("data-poisoning")]
		ids(documents.changed(examples.full, "lineage/0/receipts", receipts)) == {"deployment.lineage-receipts"}
	}
}

test_the_newest_receipt_of_the_data_counts if {
	taken_back := object.union(documents.receipt("data-poisoning"), {
		"verdict": "DENY",
		"issued": "2026-11-23T11:30:00.000000Z",
	})
	reasons(examples.changed("lineage/0/receipts/-", taken_back)) == {["deployment.lineage-receipts", concat(" ", [
		"data train.parquet (sha256 60303ae22b99):",
		"the newest receipt of data-poisoning says DENY",
	])]}
}

test_every_piece_of_data_needs_its_receipts if {
	second := examples.material("data", "more.parquet", examples.image_digest, ["data-validation"])
	reasons(examples.changed("lineage/-", second)) == {["deployment.lineage-receipts", concat(" ", [
		"data more.parquet (sha256 2c26b46b68ff):",
		"no receipt of data-poisoning for these bytes",
	])]}
}

test_an_image_without_receipts_is_refused if {
	ids(documents.changed(examples.full, "lineage/2/receipts", [])) == {"deployment.lineage-receipts"}
}

test_receipts_of_the_model_do_not_speak_for_its_data if {
	document := object.union(documents.changed(examples.full, "lineage/0/receipts", []), {"receipts": array.concat(
		examples.full.receipts,
		[documents.receipt("data-validation"), documents.receipt("data-poisoning")],
	)})
	ids(document) == {"deployment.lineage-receipts"}
}

test_a_name_is_not_needed_to_refuse if {
	document := json.remove(documents.changed(examples.full, "lineage/2/receipts", []), ["lineage/2/subject/name"])
	reasons(document) == {["deployment.lineage-receipts", concat(" ", [
		"image (unnamed) (sha256 2c26b46b68ff):",
		"no receipt of artifact-scan for these bytes",
	])]}
}
