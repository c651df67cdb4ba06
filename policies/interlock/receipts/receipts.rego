# METADATA
# title: The receipts that a guard brings
# description: |-
#   Signatures are verified before policy is asked. Here: which gates are required, and which receipt speaks for each.
# schemas:
#   - input: schema.decision_input
package interlock.receipts

import data.interlock.facts

# METADATA
# title: Whether a guard of a known kind asks
# description: Guards stand before training and before deployment.
guarded if {
	facts.stage == "guard"
	facts.gate in {"training", "deployment"}
}

# METADATA
# title: The gates whose receipts are required
# description: Undefined unless the profile names at least one for this kind of step.
required := listed if {
	guarded
	listed := facts.names("required", facts.gate)
	count(listed) > 0
}

# METADATA
# title: Now, in nanoseconds
# description: Undefined unless it is text; an error when it is no time.
now := time.parse_rfc3339_ns(input.now) if is_string(input.now)

# METADATA
# title: When a receipt was issued, in nanoseconds
# description: Undefined unless it is text; an error when it is no time.
issued(receipt) := time.parse_rfc3339_ns(receipt.issued) if is_string(receipt.issued)

# METADATA
# title: When a receipt expires, in nanoseconds
# description: Undefined unless it is text; an error when it is no time.
expires(receipt) := time.parse_rfc3339_ns(receipt.expires) if is_string(receipt.expires)

# METADATA
# title: Whether the profile lets receipts of other runs count
# description: Undefined unless the profile says so.
other_runs_count if facts.profile.evidence.same_run == false

# METADATA
# title: Whether the run of a receipt is the right one
# description: Undefined unless it is this run, or the profile lets others count.
# scope: document
right_run(receipt) if receipt.same_run == true

right_run(receipt) if {
	is_boolean(receipt.same_run)
	other_runs_count
}

# METADATA
# title: The receipts of a gate by age
# description: |-
#   Those of the right run by a bundle that is known; if there is none, those of the right run; if there is none, all,
#   so that a later rule can say what is wrong with them. Of two that were issued at the same moment the one that does
#   not allow counts.
dated(gate) := these if {
	these := {[issued(receipt), refusing(receipt), receipt] |
		some receipt in input.receipts
		receipt.gate == gate
		receipt.bundle_known == true
		right_run(receipt)
	}
	count(these) > 0
} else := these if {
	these := {[issued(receipt), refusing(receipt), receipt] |
		some receipt in input.receipts
		receipt.gate == gate
		right_run(receipt)
	}
	count(these) > 0
} else := {[issued(receipt), refusing(receipt), receipt] |
	some receipt in input.receipts
	receipt.gate == gate
}

# METADATA
# title: One for a receipt that does not allow
# description: Always defined.
refusing(receipt) := 0 if {
	receipt.verdict == "ALLOW"
} else := 1

# METADATA
# title: The receipt that speaks for a gate
# description: The newest, so that a later DENY for the same bytes takes back an earlier ALLOW.
chosen[gate] := receipt if {
	some gate in required
	[_, _, receipt] := max(dated(gate))
}
