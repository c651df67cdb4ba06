# METADATA
# title: Tests of exemptions
package interlock.exemptions_test

import data.interlock.decision
import data.interlock.examples_test as examples
import data.interlock.exemptions

exemption := {
	"id": "EX-1",
	"reason": "the camera's watermark is known",
	"rules": ["dataset.poisoning-flagged"],
	"gate": "data-poisoning",
	"digest": {"sha256": examples.digest},
	"profiles": ["standard"],
	"issued": "2026-11-23T08:00:00Z",
	"expires": "2026-11-25T08:00:00Z",
	"by": "security",
	"keyid": "9e1d",
	"dev": false,
}

denied := examples.changed(examples.poisoning, "report/measures/flagged_rows/value", 10001)

bring(some_exemptions) := object.union(denied, {"exemptions": some_exemptions})

with_fields(fields) := object.union(object.remove(exemption, object.keys(fields)), fields)

ids(reasons) := [reason.id | some reason in reasons]

test_an_exemption_sets_its_reason_aside if {
	result := decision.result with input as bring([exemption])
	result.allow == true
	result.reasons == []
	result.exemptions == ["EX-1"]
	{[w.id, w.severity, w.message] | some w in result.warnings} == {[
		"exemption.used",
		"high",
		concat("", [
			"exemption EX-1, signed by security (the camera's watermark is known) and in force until ",
			"2026-11-25T08:00:00Z, sets aside dataset.poisoning-flagged (critical): 10001 of 50000 rows look ",
			"poisoned (fraction 0.0001); profile standard bears at most 10000 rows and a fraction of 0.01",
		]),
	]}
}

test_without_a_reason_an_exemption_does_nothing if {
	decision.result == {"allow": true, "reasons": [], "warnings": [], "exemptions": []} with input as object.union(
		examples.poisoning,
		{"exemptions": [exemption, with_fields({"expires": "2026-11-20T00:00:00Z"}), 7]},
	)
}

test_another_reason_stays if {
	both := examples.changed(bring([exemption]), "report/measures/strongest/value", 0.9)
	result := decision.result with input as both
	result.allow == false
	ids(result.reasons) == ["dataset.poisoning-evidence"]
	result.exemptions == ["EX-1"]
}

test_two_exemptions_for_one_reason_are_both_named if {
	result := decision.result with input as bring([exemption, with_fields({"id": "EX-0"})])
	result.allow == true
	result.exemptions == ["EX-0", "EX-1"]
	ids(result.warnings) == ["exemption.used", "exemption.used"]
}

test_what_makes_an_exemption_worth_nothing if {
	every fields, why in {
		{"gate": "data-validation"}: "it is for another gate or another profile",
		{"profiles": ["dev", "strict"]}: "it is for another gate or another profile",
		{"profiles": []}: "it is for another gate or another profile",
		{"digest": {"sha256": replace(examples.digest, "9", "8")}}: "it is for another subject",
		{"digest": {"sha256": ""}, "subject": "train.parquet"}: "it is for another subject",
		{"digest": {"sha512": examples.digest}, "subject": "train.parquet"}: "it is for another subject",
		{"expires": "2026-11-23T12:00:00Z"}: "it is not in force now",
		{"issued": "2026-11-23T12:00:01Z"}: "it is not in force now",
		{"expires": "2026-12-08T08:00:00Z"}: "it lives longer than the profile accepts",
		{"dev": true}: "its key is a development key, which the profile does not accept",
	} {
		result := decision.result with input as bring([with_fields(fields)])
		result.allow == false
		ids(result.reasons) == ["dataset.poisoning-flagged"]
		result.exemptions == []
		[[w.id, w.message] | some w in result.warnings] == [[
			"exemption.not-used",
			sprintf("exemption EX-1 sets nothing aside: %s", [why]),
		]]
	}
}

test_it_is_in_force_from_the_moment_it_is_issued if {
	decision.result.allow with input as bring([with_fields({"issued": "2026-11-23T12:00:00Z"})])
}

test_an_exemption_for_other_rules_is_not_spoken_of if {
	result := decision.result with input as bring([with_fields({"rules": ["dataset.rows"], "dev": true})])
	result.allow == false
	result.warnings == []
}

test_a_rule_is_named_by_its_whole_id if {
	every name in [
		"dataset.*",
		"*",
		"",
		"dataset.poisoning",
		"DATASET.POISONING-FLAGGED",
		"Too many rows look poisoned",
	] {
		decision.result.allow == false with input as bring([with_fields({"rules": [name]})])
	}
}

test_every_field_read_must_be_there_with_its_type if {
	every field in ["id", "reason", "rules", "gate", "profiles", "issued", "expires", "by", "dev"] {
		every wrong in examples.spoiled(exemption, field) {
			exemptions.usable == set() with input as bring([wrong])
		}
	}
}

test_the_digest_must_have_its_type if {
	every path in ["digest", "digest/sha256"] {
		every wrong in examples.spoiled(exemption, path) {
			exemptions.usable == set() with input as bring([wrong])
		}
	}
}

test_now_and_the_subject_must_be_there_with_their_type if {
	every path in ["now", "subject", "subject/digest", "subject/digest/sha256"] {
		every document in examples.spoiled(bring([exemption]), path) {
			exemptions.usable == set() with input as document
		}
	}
}

test_a_list_of_another_type_is_as_if_absent if {
	every wrong in [null, true, 7, "EX-1", {}, {"0": exemption}, exemption, [null], [7], ["EX-1"], [[exemption]]] {
		result := decision.result with input as bring(wrong)
		result.allow == false
		ids(result.reasons) == ["dataset.poisoning-flagged"]
	}
}

test_what_cannot_be_read_is_said if {
	result := decision.result with input as bring([7])
	[w.message | some w in result.warnings] == [concat("", [
		"exemption  sets nothing aside: a field is missing or has another type; it is for another gate or ",
		"another profile; it is for another subject; it is not in force now; it lives longer than the profile ",
		"accepts; its key is a development key, which the profile does not accept",
	])]
}

named := json.remove(with_fields({"subject": "train.parquet", "profiles": ["dev"]}), ["digest"])

dev := object.union(bring([named]), {"profile": "dev", "report": {"measures": {"flagged_fraction": {"value": 0.5}}}})

test_a_name_counts_where_the_profile_says_so if {
	decision.result.exemptions == ["EX-1"] with input as dev
	standard := object.union(bring([with_fields({"profiles": ["standard"], "subject": "train.parquet"})]), {})
	decision.result.allow == false with input as examples.changed(
		standard,
		"exemptions",
		[json.remove(standard.exemptions[0], ["digest"])],
	)
	every path in ["dev/exemptions", "dev/exemptions/accept_names"] {
		every profiles in examples.profiles_without(path) {
			exemptions.usable == set() with input as dev with data.interlock.profiles as profiles
		}
	}
	every wrong in examples.spoiled(named, "subject") | {object.union(named, {"subject": "other"})} {
		exemptions.usable == set() with input as examples.changed(dev, "exemptions", [wrong])
	}
}

test_a_subject_without_a_name_is_not_one_that_is_named_so if {
	nameless := json.patch(dev, [
		{"op": "replace", "path": "subject/name", "value": ""},
		{"op": "replace", "path": "exemptions/0/subject", "value": ""},
	])
	not decision.allow with input as nameless
}

test_a_development_key_counts_where_the_profile_says_so if {
	signed := object.union(dev, {"exemptions": [object.union(named, {"dev": true})]})
	decision.result.exemptions == ["EX-1"] with input as signed
	every profiles in examples.profiles_without("dev/exemptions/accept_dev") {
		exemptions.usable == set() with input as signed with data.interlock.profiles as profiles
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["standard/exemptions", "standard/exemptions/accept", "standard/exemptions/never"] {
		every profiles in examples.profiles_without(path) - {
			examples.changed(data.interlock.profiles, "standard/exemptions/accept", true),
			examples.changed(data.interlock.profiles, "standard/exemptions/never", []),
			examples.changed(data.interlock.profiles, "standard/exemptions/never", ["text"]),
		} {
			exemptions.usable == set() with input as bring([exemption]) with data.interlock.profiles as profiles
		}
	}

	# Seven days are enough for the exemption of these tests, and an empty list of what is never set aside is a list.
	every profiles in examples.profiles_without("standard/exemptions/max_days") - {examples.changed(
		data.interlock.profiles,
		"standard/exemptions/max_days",
		7,
	)} {
		exemptions.usable == set() with input as bring([exemption]) with data.interlock.profiles as profiles
	}
}

test_a_profile_that_accepts_none_says_so if {
	short := with_fields({"profiles": ["strict"], "expires": "2026-11-24T00:00:00Z"})
	result := decision.result with input as object.union(bring([short]), {"profile": "strict"})
	result.allow == false
	"exemption EX-1 sets nothing aside: profile strict accepts no exemptions" in {w.message |
		some w in result.warnings
	}
}

test_what_is_never_set_aside_stays_and_that_is_said if {
	unseen := json.patch(bring([with_fields({"rules": ["gate.nothing-looked-at"]})]), [
		{"op": "replace", "path": "report/coverage/looked_at", "value": []},
		{"op": "replace", "path": "report/measures/flagged_rows/value", "value": 0},
	])
	result := decision.result with input as unseen
	result.allow == false
	ids(result.reasons) == ["gate.nothing-looked-at"]
	[[w.id, w.message] | some w in result.warnings] == [[
		"exemption.never",
		"exemption EX-1 does not set aside gate.nothing-looked-at: no exemption does",
	]]
}

test_a_whole_pack_can_be_named_as_never if {
	exemptions.stays("evidence.age") with input as denied
	not exemptions.stays("evidences.age") with input as denied
	not exemptions.stays("dataset.rows") with input as denied
}

test_what_no_profile_can_open if {
	open := examples.changed(data.interlock.profiles, "standard/exemptions/never", [])
	every id in ["gate.no-rules", "gate.profile", "gate.same-subject", "policy.rule-without-metadata"] {
		exemptions.stays(id) with input as denied with data.interlock.profiles as open
	}
	not exemptions.stays("gate.nothing-looked-at") with input as denied with data.interlock.profiles as open
}

test_no_exemption_for_a_gate_without_rules if {
	everything := with_fields({"gate": "inference-probe", "rules": ["gate.no-rules", "gate.findings", "gate.profile"]})
	probe := object.union(bring([everything]), {"gate": "inference-probe", "report": {"gate": "inference-probe"}})
	result := decision.result with input as probe
	result.allow == false
	"gate.no-rules" in ids(result.reasons)
}

test_no_exemption_under_an_unknown_profile if {
	every rules in [["gate.profile"], ["gate.profile", "dataset.poisoning-flagged"]] {
		result := decision.result with input as object.union(
			bring([with_fields({"rules": rules, "profiles": ["relaxed"]})]),
			{"profile": "relaxed"},
		)
		result.allow == false
		ids(result.reasons) == ["gate.profile"]
	}
}

test_people_are_told_what_can_become_of_an_exemption if {
	brought := [
		exemption,
		with_fields({"rules": ["gate.no-rules", "dataset.poisoning-flagged", "evidence.age"]}),
		with_fields({"dev": true}),
		7,
	]
	question := object.remove(object.union(denied, {"exemptions": brought}), ["report"])
	stays := [about.stays | some about in exemptions.outlook] with input as question
	stays == [[], ["gate.no-rules", "evidence.age"], [], []]
	flaws := [about.flaws | some about in exemptions.outlook] with input as question
	array.slice(flaws, 0, 3) == [[], [], ["its key is a development key, which the profile does not accept"]]
	"a field is missing or has another type" in flaws[3]
	exemptions.outlook == [] with input as denied
}
