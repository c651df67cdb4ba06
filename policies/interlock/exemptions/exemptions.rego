# METADATA
# title: Exemptions
# description: |-
#   A break-glass that somebody signed: for one gate and one subject, for some reasons, until a moment, and with
#   why. Signatures are verified before policy is asked. Anything wrong with an exemption makes it as if absent;
#   here is also said what is wrong.
# schemas:
#   - input: schema.decision_input
package interlock.exemptions

import data.interlock.facts
import data.interlock.receipts

# METADATA
# title: Reasons that nothing sets aside
# description: Whoever exempts these has no decision left. A profile adds to them with `exemptions.never`.
untouchable := {
	"gate.no-rules",
	"gate.profile",
	"gate.same-subject",
	"policy.denial-without-shape",
	"policy.rule-without-metadata",
}

# METADATA
# title: The exemptions that were brought
# description: Undefined unless it is a list.
brought := input.exemptions if is_array(input.exemptions)

# METADATA
# title: The exemption is an object with its texts
# description: Undefined unless each field has its type.
readable(exemption) if {
	every field in ["id", "reason", "by", "gate"] {
		is_string(exemption[field])
		exemption[field] != ""
	}
	is_boolean(exemption.dev)
	every field in ["rules", "profiles"] {
		is_array(exemption[field])
		every text in exemption[field] {
			is_string(text)
		}
	}
}

# METADATA
# title: The exemption is for this gate under this profile
# description: Undefined unless it names both.
for_this_gate(exemption) if {
	exemption.gate == facts.gate
	input.profile in exemption.profiles
}

# METADATA
# title: The exemption is for this subject
# description: |-
#   Its digest where it has one. A name is what the pipeline calls its data, so it counts only where the profile
#   says so.
# scope: document
for_this_subject(exemption) if {
	is_string(exemption.digest.sha256)
	regex.match(`^[0-9a-f]{64}$`, exemption.digest.sha256)
	exemption.digest.sha256 == input.subject.digest.sha256
}

for_this_subject(exemption) if {
	is_object(exemption)
	keys := object.keys(exemption)
	not "digest" in keys
	facts.profile.exemptions.accept_names == true
	is_string(exemption.subject)
	exemption.subject != ""
	exemption.subject == input.subject.name
}

# METADATA
# title: A moment of an exemption, in nanoseconds
# description: Undefined unless it is a time in UTC; an error only when it looks like one and is none.
moment(text) := time.parse_rfc3339_ns(text) if {
	is_string(text)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$`, text)
}

# METADATA
# title: The exemption is in force
# description: Undefined unless it was issued before now and expires later.
in_force(exemption) if {
	moment(exemption.issued) <= receipts.now
	receipts.now < moment(exemption.expires)
}

# METADATA
# title: The exemption is short enough
# description: Undefined unless it lives no longer than the profile's days.
short_lived(exemption) if {
	nanoseconds := facts.limit("exemptions", "max_days") * 86400000000000
	moment(exemption.expires) - moment(exemption.issued) <= nanoseconds
}

# METADATA
# title: The signer is good enough for the profile
# description: Undefined unless the exemption says whether its key is a development key.
# scope: document
good_signer(exemption) if exemption.dev == false

good_signer(exemption) if {
	exemption.dev == true
	facts.profile.exemptions.accept_dev == true
}

# METADATA
# title: The profile accepts exemptions
# description: Undefined unless it says so, and lists what is never set aside.
accepting if {
	facts.profile.exemptions.accept == true
	facts.names("exemptions", "never")
}

# METADATA
# title: What is wrong with each exemption
# description: By its place in the list; nothing is there for one that counts.
# scope: document
flaws[number] contains sprintf("profile %v accepts no exemptions", [facts.shown_profile]) if {
	some number in places
	not accepting
}

flaws[number] contains "a field is missing or has another type" if {
	some number in places
	exemption := brought[number]
	not readable(exemption)
}

flaws[number] contains "it is for another gate or another profile" if {
	some number in places
	exemption := brought[number]
	not for_this_gate(exemption)
}

flaws[number] contains "it is for another subject" if {
	some number in places
	exemption := brought[number]
	not for_this_subject(exemption)
}

flaws[number] contains "it is not in force now" if {
	some number in places
	exemption := brought[number]
	not in_force(exemption)
}

flaws[number] contains "it lives longer than the profile accepts" if {
	some number in places
	exemption := brought[number]
	not short_lived(exemption)
}

flaws[number] contains "its key is a development key, which the profile does not accept" if {
	some number in places
	exemption := brought[number]
	not good_signer(exemption)
}

# METADATA
# title: The places of the list
# description: Undefined unless there is a list.
places contains place if some place, _ in brought

# METADATA
# title: The exemptions that count
# description: Those without a flaw.
usable contains exemption if {
	some number, exemption in brought
	not flaws[number]
}

# METADATA
# title: A reason that stays whatever is signed
# description: By its id; undefined for one that may be set aside.
# scope: document
stays(id) if id in untouchable

stays(id) if {
	some pattern in facts.names("exemptions", "never")
	glob.match(pattern, ["."], id)
}

# METADATA
# title: What can become of each exemption
# description: |-
#   For people who sign and list them, and asked for without a report: what is wrong with each, and which of the reasons
#   that it names stay whatever is signed. Empty unless exemptions were brought.
outlook := [about |
	some number, exemption in brought
	about := {
		"flaws": sort(object.get(flaws, number, set())),
		"stays": [id | some id in exemption.rules; stays(id)],
	}
]

# METADATA
# title: The exemption sets a reason aside
# description: Undefined unless it names the reason's id, and that is not one that stays.
sets_aside(exemption, reason) if {
	is_string(reason.id)
	id := reason.id
	id in exemption.rules
	not stays(id)
}

# METADATA
# title: The exemption speaks of a reason
# description: Also one whose rules cannot be read, so that it is said.
# scope: document
speaks_of(exemption, reason) if reason.id in exemption.rules

speaks_of(exemption, _) if not readable(exemption)
