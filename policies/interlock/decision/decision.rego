# METADATA
# title: The decision
# description: |-
#   Collects what the rules of all packs say of one input document. Allows only if at least one rule is written for
#   this gate at this stage, and no rule denies.
package interlock.decision

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
# description: With an unknown profile only that is said, because every other rule would deny for the same cause.
# scope: document
reasons contains data.interlock.gate[_].deny[_]

reasons contains reason if {
	facts.profile
	reason := data.interlock.dataset[_].deny[_]
}

reasons contains reason if {
	facts.profile
	reason := data.interlock.model[_].deny[_]
}

reasons contains reason if {
	facts.profile
	reason := data.interlock.training[_].deny[_]
}

reasons contains reason if {
	facts.profile
	reason := data.interlock.pipeline[_].deny[_]
}

reasons contains reason if {
	facts.profile
	reason := data.interlock.deployment[_].deny[_]
}

reasons contains reason if {
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
#   controls: []
reasons contains facts.reason(rego.metadata.rule(), message) if {
	not covered
	message := sprintf(
		"no rules for this gate: %v at stage %v",
		[object.get(input, "gate", "(none)"), object.get(input, "stage", "(none)")],
	)
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
# title: The answer
# description: What Interlock asks for and puts into the receipt.
# entrypoint: true
result := {
	"allow": allow,
	"reasons": by_severity(reasons),
	"warnings": by_severity(warnings),
	"exemptions": [],
}

# METADATA
# title: The worst first
# description: A severity that is not known comes before all others.
by_severity(those) := [reason |
	some [_, _, _, reason] in sort([[rank(reason), reason.id, reason.message, reason] | some reason in those])
]

# METADATA
# title: Place of a severity
# description: Always defined.
rank(reason) := place if {
	some place, severity in ["critical", "high", "medium", "low"]
	severity == reason.severity
} else := -1
