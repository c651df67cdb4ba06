# METADATA
# title: The decision
# description: |-
#   Collects what the rules of all packs say of one input document. Allows only if at least one rule is written for
#   this gate at this stage, and no rule denies, or a signed exemption sets each denial aside.
# schemas:
#   - input: schema.decision_input
package interlock.decision

import data.interlock.exemptions
import data.interlock.facts

# METADATA
# title: Whether the step may go on
# description: False unless every rule that applies is content and there is one.
# scope: document
default allow := false

allow if {
	covered
	count(reasons) == 0
}

# METADATA
# title: Whether a rule is written for this gate at this stage
# description: Rules of the gate pack look at every report and are not enough by themselves.
# scope: document
covered if data.interlock.dataset[_].applies

covered if data.interlock.model[_].applies

covered if data.interlock.training[_].applies

covered if data.interlock.pipeline[_].applies

covered if data.interlock.deployment[_].applies

covered if data.interlock.evidence[_].applies

# METADATA
# title: Reasons to deny
# description: Those that no exemption sets aside.
reasons contains reason if {
	some reason in raised
	not exempted(reason)
}

# METADATA
# title: A reason is set aside
# description: Undefined unless an exemption that counts names it.
exempted(reason) if {
	some exemption in exemptions.usable
	exemptions.sets_aside(exemption, reason)
}

# METADATA
# title: What the rules say against the step
# description: With an unknown profile only that is said, because every other rule would deny for the same cause.
# scope: document
raised contains data.interlock.gate[_].deny[_]

raised contains reason if {
	facts.profile
	reason := data.interlock.dataset[_].deny[_]
}

raised contains reason if {
	facts.profile
	reason := data.interlock.model[_].deny[_]
}

raised contains reason if {
	facts.profile
	reason := data.interlock.training[_].deny[_]
}

raised contains reason if {
	facts.profile
	reason := data.interlock.pipeline[_].deny[_]
}

raised contains reason if {
	facts.profile
	reason := data.interlock.deployment[_].deny[_]
}

raised contains reason if {
	facts.profile
	reason := data.interlock.evidence[_].deny[_]
}

# METADATA
# title: No rules for this gate
# description: A gate that no rule speaks of is not allowed by silence.
# custom:
#   id: gate.no-rules
#   severity: critical
#   remediation: Add rules for this gate to the policy bundle, or leave the gate out of the pipeline
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
raised contains facts.reason(rego.metadata.rule(), message) if {
	not covered
	message := sprintf(
		"no rules for this gate: %v at stage %v",
		[facts.shown_field(["gate"]), facts.shown_field(["stage"])],
	)
}

# METADATA
# title: A rule denies in another shape
# description: A `deny` that is no set of reasons would not be collected, and its rule would deny nothing.
# custom:
#   id: policy.denial-without-shape
#   severity: critical
#   remediation: Write the rule as `deny contains reason if { ... }`
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
raised contains facts.reason(rego.metadata.rule(), message) if {
	some name in misshapen
	message := sprintf("the deny of data.interlock.%v is no set of reasons", [name])
}

# METADATA
# title: Rules whose denials cannot be collected
# description: By pack and name.
# scope: document
misshapen contains sprintf("gate.%v", [rule]) if {
	some rule
	denials := data.interlock.gate[rule].deny
	not is_set(denials)
}

misshapen contains sprintf("dataset.%v", [rule]) if {
	some rule
	denials := data.interlock.dataset[rule].deny
	not is_set(denials)
}

misshapen contains sprintf("model.%v", [rule]) if {
	some rule
	denials := data.interlock.model[rule].deny
	not is_set(denials)
}

misshapen contains sprintf("training.%v", [rule]) if {
	some rule
	denials := data.interlock.training[rule].deny
	not is_set(denials)
}

misshapen contains sprintf("pipeline.%v", [rule]) if {
	some rule
	denials := data.interlock.pipeline[rule].deny
	not is_set(denials)
}

misshapen contains sprintf("deployment.%v", [rule]) if {
	some rule
	denials := data.interlock.deployment[rule].deny
	not is_set(denials)
}

misshapen contains sprintf("evidence.%v", [rule]) if {
	some rule
	denials := data.interlock.evidence[rule].deny
	not is_set(denials)
}

# METADATA
# title: Warnings
# description: Said in the receipt, but not in the way.
# scope: document
warnings contains data.interlock.gate[_].warn[_]

warnings contains data.interlock.dataset[_].warn[_]

warnings contains data.interlock.model[_].warn[_]

warnings contains data.interlock.training[_].warn[_]

warnings contains data.interlock.pipeline[_].warn[_]

warnings contains data.interlock.deployment[_].warn[_]

warnings contains data.interlock.evidence[_].warn[_]

# METADATA
# title: An exemption sets a reason aside
# description: The step may go on although a rule denies it; who answers for that is named here.
# custom:
#   id: exemption.used
#   severity: high
#   remediation: Repair what the rule found before the exemption runs out
#   controls:
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
warnings contains facts.reason(rego.metadata.rule(), message) if {
	some [reason, exemption] in used
	message := sprintf(
		"exemption %v, signed by %v (%v) and in force until %v, sets aside %v (%v): %v",
		[
			exemption.id,
			exemption.by,
			exemption.reason,
			exemption.expires,
			reason.id,
			object.get(reason, "severity", "of no severity"),
			object.get(reason, "message", "no message"),
		],
	)
}

# METADATA
# title: An exemption does not count
# description: It names a reason that stands, and something is wrong with it.
# custom:
#   id: exemption.not-used
#   severity: low
#   remediation: Have it signed again for this gate, subject and profile, or repair what the rule found
#   controls:
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.8}
warnings contains facts.reason(rego.metadata.rule(), message) if {
	some number, exemption in exemptions.brought
	flaws := exemptions.flaws[number]
	spoken := {facts.shown(reason.id) | some reason in raised; exemptions.speaks_of(exemption, reason)}
	count(spoken) > 0
	message := sprintf(
		"exemption %v sets nothing aside: %v",
		[facts.shown(named(exemption, "id")), concat("; ", flaws)],
	)
}

# METADATA
# title: An exemption names what nothing sets aside
# description: The profile or the rules keep this reason whatever is signed.
# custom:
#   id: exemption.never
#   severity: low
#   remediation: Repair what the rule found; no exemption helps against this reason
#   controls:
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 14}
warnings contains facts.reason(rego.metadata.rule(), message) if {
	some exemption in exemptions.usable
	some reason in raised
	reason.id in exemption.rules
	exemptions.stays(reason.id)
	message := sprintf("exemption %v does not set aside %v: no exemption does", [exemption.id, reason.id])
}

# METADATA
# title: Which exemption sets aside which reason
# description: Pairs, for the receipt.
used contains [reason, exemption] if {
	some reason in raised
	some exemption in exemptions.usable
	exemptions.sets_aside(exemption, reason)
}

# METADATA
# title: The answer
# description: What Interlock asks for and puts into the receipt.
# entrypoint: true
result := {
	"allow": allow,
	"reasons": by_severity(reasons),
	"warnings": by_severity(warnings),
	"exemptions": sort({exemption.id | some [_, exemption] in used}),
}

# METADATA
# title: The worst first
# description: A severity that is not known comes before all others.
by_severity(those) := [reason |
	some [_, _, _, reason] in sort([[rank(reason), named(reason, "id"), named(reason, "message"), reason] |
		some reason in those
	])
]

# METADATA
# title: One field of a reason
# description: Always defined, so that a reason of another shape is still said; no ALLOW comes of it.
named(reason, field) := text if {
	text := reason[field]
} else := ""

# METADATA
# title: Place of a severity
# description: Always defined.
rank(reason) := place if {
	some place, severity in ["critical", "high", "medium", "low"]
	severity == reason.severity
} else := -1
