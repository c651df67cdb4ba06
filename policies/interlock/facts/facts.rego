# METADATA
# title: Typed reads of the input document
# description: |-
#   Two kinds of rules. Reads are undefined unless the field is there and has its type, so that `not` over them denies.
#   Texts are always defined, because a denial must not vanish together with its message. And what
#   `not` gets as an argument is a constant or a variable that is already bound: OPA evaluates the arguments of
#   `not input.x > 0`, `not f(input.x)` and `not f(x) == 0` before the `not`, and nothing denies when they are
#   undefined.
# schemas:
#   - input: schema.decision_input
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
# description: |-
#   Undefined for a profile that the bundle's data does not have. A profile that `extends` another lies over it: objects
#   are merged, and of everything else its own value counts. One level: what is extended extends nothing.
profile := object.union(base(own), object.remove(own, ["extends"])) if {
	is_string(input.profile)
	own := data.interlock.profiles[input.profile]
	is_object(own)
}

# METADATA
# title: What lies under a profile
# description: Undefined for something that is no profile, and for one that extends what is not there or extends itself.
# scope: document
base(own) := {} if {
	keys := object.keys(own)
	not "extends" in keys
}

base(own) := under if {
	is_string(own.extends)
	under := data.interlock.profiles[own.extends]
	is_object(under)
	keys := object.keys(under)
	not "extends" in keys
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
# title: The profile does not ask
# description: Undefined unless it says so with the word `any`; a parameter that is missing asks.
off(section, name) if profile[section][name] == "any"

# METADATA
# title: A measure is at most its limit, where there is one
# description: Undefined when the profile has neither a number nor `any` there.
# scope: document
bounded_above(_, section, name) if off(section, name)

bounded_above(measured, section, name) if {
	measure(measured) >= 0
	at_most(measured, section, name)
}

# METADATA
# title: A measure is at least its floor, where there is one
# description: Undefined when the profile has neither a number nor `any` there.
# scope: document
bounded_below(_, section, name) if off(section, name)

bounded_below(measured, section, name) if at_least(measured, section, name)

# METADATA
# title: The profile asks for something
# description: Undefined unless the parameter is the word `stated` or a list of texts.
# scope: document
asks(section, name) if profile[section][name] == "stated"

asks(section, name) if names(section, name)

# METADATA
# title: The profile permits a text
# description: |-
#   `any` permits without looking, and is `off`, not this; `stated` permits every text but the empty one; a list permits
#   what it holds.
# scope: document
permitted(section, name, text) if {
	profile[section][name] == "stated"
	is_string(text)
	text != ""
}

permitted(section, name, text) if {
	is_string(text)
	some listed in names(section, name)
	listed == text
}

# METADATA
# title: The profile permits a place
# description: As a text, and a list permits what lies under its entries too, at a boundary of `/` and without `..`.
# scope: document
permitted_place(section, name, place) if permitted(section, name, place)

permitted_place(section, name, place) if {
	is_string(place)
	not contains(place, "..")
	some listed in names(section, name)
	listed != ""
	startswith(place, sprintf("%s/", [trim_suffix(listed, "/")]))
}

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
# title: What the profile permits as text
# description: Always defined.
shown_permitted(section, name) := "whatever is stated" if {
	profile[section][name] == "stated"
} else := shown_names(section, name)

# METADATA
# title: A parameter of the profile as text
# description: Always defined.
shown_parameter(section, name) := text if {
	text := shown(profile[section][name])
} else := sprintf("nothing (no %s.%s)", [section, name])

# METADATA
# title: A field of the input as text
# description: Defined for every input that is an object; the path is a list of steps.
shown_field(path) := shown(object.get(input, path, "(none)"))

# METADATA
# title: Any value as text
# description: |-
#   Always defined; numbers with at most four decimals, and at most 500 characters, because what a gate read of a file
#   may be long.
shown(value) := sprintf("%v", [round(value * 10000) / 10000]) if {
	is_number(value)
	abs(value) < 1000000000
} else := shortened(sprintf("%v", [value]))

# METADATA
# title: The beginning of a text
# description: Always defined.
shortened(text) := text if {
	count(text) <= 500
} else := concat("", [substring(text, 0, 500), " ..."])

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
