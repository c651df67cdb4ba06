# METADATA
# title: The team can afford the training
# description: |-
#   What a team may use up in a calendar month (UTC) stands in `data.interlock.budgets`; what it used already comes
#   from the ledger.
# schemas:
#   - input: schema.decision_input
package interlock.training.budget

import data.interlock.facts

# METADATA
# title: What is budgeted
# description: GPU-hours, kilowatt-hours, and money in the organisation's one currency.
resources := {"gpu_hours", "energy_kwh", "money"}

# METADATA
# title: Nothing is to be judged
# description: |-
#   Undefined unless the profile says so, or judges only where a budget is set and none is for this step: its team has
#   none, and nobody's is for its pipeline. Whoever writes the step names the team, so the pipeline alone has to be
#   enough to find a budget.
# scope: document
free if facts.off("training", "budgets")

free if {
	facts.profile.training.budgets == "where-set"
	unbudgeted
	teamless
}

# METADATA
# title: No budget is for this pipeline
# description: Undefined unless every budget can be read, and lists other pipelines.
unbudgeted if {
	is_object(data.interlock.budgets)
	every found in data.interlock.budgets {
		for_others(found)
	}
}

# METADATA
# title: A budget is for other pipelines
# description: Undefined for one that is for every pipeline, for this one, or for what cannot be read.
for_others(found) if {
	pipeline := input.run.pipeline
	is_string(pipeline)
	is_array(found.pipelines)
	every listed in found.pipelines {
		is_string(listed)
		listed != pipeline
	}
}

# METADATA
# title: The step's team has no budget
# description: Undefined unless it names none, or names one by text that has none.
# scope: document
teamless if {
	is_object(input.requested)
	keys := object.keys(input.requested)
	not "team" in keys
}

teamless if {
	is_string(input.requested.team)
	team := input.requested.team
	teams := object.keys(data.interlock.budgets)
	not team in teams
}

# METADATA
# title: Which reports this rule judges
# description: |-
#   Guards of a training: judged before anything is spent.
applies if {
	facts.stage == "guard"
	facts.gate == "training"
	not free
}

# METADATA
# title: The budget of the team
# description: Undefined unless the team has one and this pipeline may spend it.
own := found if {
	is_string(input.requested.team)
	found := data.interlock.budgets[input.requested.team]
	is_object(found)
	may_spend(found)
}

# METADATA
# title: This pipeline may spend a budget
# description: |-
#   Undefined unless the budget is for every pipeline, or names this one. A pipeline names its team itself; this
#   keeps it from naming another's.
# scope: document
may_spend(found) if found.pipelines == "any"

may_spend(found) if {
	is_array(found.pipelines)
	input.run.pipeline in found.pipelines
}

# METADATA
# title: One resource suffices
# description: |-
#   Undefined unless it has no limit, or what was used and what is asked for are numbers and within it together.
# scope: document
affordable(_, "any")

affordable(resource, bound) if {
	used := facts.measure(sprintf("month_%s", [resource]))
	used >= 0
	asked := object.get(input, ["requested", "budget", resource], null)
	is_number(asked)
	asked >= 0
	is_number(bound)
	used + asked <= bound
}

# METADATA
# title: The team has no budget
# description: None under its name, or one that this pipeline may not spend.
# custom:
#   id: training.budget-unknown
#   severity: medium
#   remediation: |-
#     Name in the step the team whose budget lists this pipeline, or add the team to `data.interlock.budgets` and the
#     pipeline to its `pipelines`
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0034}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0029}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM06:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM10:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.014}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 3.1}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not own
	message := sprintf(
		"team %v has no budget that pipeline %v may spend",
		[facts.shown_field(["requested", "team"]), facts.shown_field(["run", "pipeline"])],
	)
}

# METADATA
# title: The team cannot afford the training
# description: What it used this month and what the step asks for are more than its budget, or not known.
# custom:
#   id: training.budget
#   severity: medium
#   remediation: Ask for less, wait for the next month, or raise the team's budget
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0034}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0029}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM06:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM10:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.014}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 3.1}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some resource in resources
	bound := object.get(own, resource, null)
	not affordable(resource, bound)
	message := sprintf(
		"%v of team %v: %v used this month and %v asked for, of %v",
		[
			resource,
			facts.shown_field(["requested", "team"]),
			facts.shown_measure(sprintf("month_%s", [resource])),
			facts.shown_field(["requested", "budget", resource]),
			facts.shown(bound),
		],
	)
}

# METADATA
# title: The training used up more than it asked for
# description: The next guard of this team counts what was really used.
# custom:
#   id: training.budget-overrun
#   severity: medium
#   remediation: Ask for what the training needs; find out why it took more
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0034}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM06:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM10:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.014}
warn contains facts.reason(rego.metadata.rule(), message) if {
	facts.stage == "gate"
	facts.gate == "training"
	some resource in resources
	is_number(input.requested.budget[resource])
	facts.measure(resource) > input.requested.budget[resource]
	message := sprintf(
		"%v used %v and asked for %v",
		[resource, facts.shown_measure(resource), facts.shown_field(["requested", "budget", resource])],
	)
}
