# METADATA
# title: Typed reads of the input document
# description: |-
#   Two kinds of rules. Reads are undefined unless the field is there and has its type, so that `not` over them denies.
#   Texts are always defined, because a denial must not vanish together with its message. And what
#   `not` gets as an argument is a constant or a variable that is already bound: OPA evaluates the arguments of
#   `not input.x > 0`, `not f(input.x)` and `not f(x) == 0` before the `not`, and nothing denies when they are
#   undefined.
package interlock.facts

# METADATA
# title: The gate that is asked about
# description: Undefined unless it is text.
gate := input.gate if is_string(input.gate)

# METADATA
# title: The stage that is asked about
# description: Undefined unless it is `gate` or `guard`.
stage := input.stage if input.stage in {"gate", "guard"}

# METADATA
# title: The parameters of the profile that is asked for
# description: Undefined for a profile that the bundle's data does not have.
profile := parameters if {
	is_string(input.profile)
	parameters := data.interlock.profiles[input.profile]
	is_object(parameters)
}

# METADATA
# title: One measure of the report
# description: Undefined unless the gate measured it as a number.
measure(name) := value if {
	value := input.report.measures[name].value
	is_number(value)
}

# METADATA
# title: One number of the profile
# description: Undefined unless the profile has it as a number.
limit(section, name) := value if {
	value := profile[section][name]
	is_number(value)
}

# METADATA
# title: A measure is not above its limit
# description: Undefined when either is missing or no number.
at_most(name, section, parameter) if measure(name) <= limit(section, parameter)

# METADATA
# title: A measure is not below its limit
# description: Undefined when either is missing or no number.
at_least(name, section, parameter) if measure(name) >= limit(section, parameter)

# METADATA
# title: A measure is zero
# description: Undefined when it is missing or no number.
zero(name) if measure(name) == 0

# METADATA
# title: A list of texts in the profile
# description: Undefined unless the profile has a list there that holds nothing but texts.
names(section, name) := listed if {
	listed := profile[section][name]
	is_array(listed)
	every item in listed {
		is_string(item)
	}
}

# METADATA
# title: A measure as text
# description: Always defined.
shown_measure(name) := text if {
	text := shown(measure(name))
} else := "nothing readable"

# METADATA
# title: A number of the profile as text
# description: Always defined.
shown_limit(section, name) := text if {
	text := shown(limit(section, name))
} else := sprintf("nothing (no number %s.%s)", [section, name])

# METADATA
# title: A list of the profile as text
# description: Always defined.
shown_names(section, name) := text if {
	text := concat(", ", names(section, name))
	text != ""
} else := sprintf("nothing (no list %s.%s)", [section, name])

# METADATA
# title: Any value as text
# description: Always defined; numbers with at most four decimals.
shown(value) := sprintf("%v", [round(value * 10000) / 10000]) if {
	is_number(value)
	abs(value) < 1000000000
} else := sprintf("%v", [value])

# METADATA
# title: The profile's name as text
# description: Always defined.
shown_profile := shown(object.get(input, "profile", "(none)"))

# METADATA
# title: One reason
# description: |-
#   Made from the METADATA of the rule that denies. Always defined: a rule whose METADATA lacks a field still denies.
reason(about, message) := described if {
	described := {
		"id": about.custom.id,
		"title": about.title,
		"severity": about.custom.severity,
		"message": message,
		"remediation": about.custom.remediation,
		"controls": about.custom.controls,
	}
} else := {
	"id": "policy.rule-without-metadata",
	"title": "A rule denied without saying what it is",
	"severity": "critical",
	"message": message,
	"remediation": "Give the rule title, id, severity, remediation and controls in its METADATA",
	"controls": [],
}
