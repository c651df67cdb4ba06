# METADATA
# title: Tests of training.budget
package interlock.training.budget_test

import data.interlock.examples_test as examples
import data.interlock.training.budget

complete := examples.complete.training_guard

required := examples.strictly("training/budgets", "required")

test_the_complete_example_passes if {
	every profiles in [required, data.interlock.profiles] {
		budget.deny == set() with input as complete
			with data.interlock.budgets as examples.budgets
			with data.interlock.profiles as profiles
	}
}

elsewhere := {"fraud": object.union(examples.budgets.fraud, {"pipelines": ["other"]})}

test_a_step_that_names_no_team_is_free_unless_a_budget_is_required if {
	without := json.remove(complete, ["requested/team"])
	budget.deny == set() with input as without
	budget.deny == set() with input as without with data.interlock.budgets as elsewhere
	{[reason.id, reason.message] | some reason in budget.deny} == {[
		"training.budget-unknown",
		"team (none) has no budget that pipeline retrain may spend",
	]} with input as without with data.interlock.profiles as required
}

test_a_team_without_a_budget_is_free_unless_a_budget_is_required if {
	budget.deny == set() with input as complete
	budget.deny == set() with input as complete with data.interlock.budgets as {}
	other := examples.changed(complete, "requested/team", "other")
	budget.deny == set() with input as other with data.interlock.budgets as elsewhere
	{reason.id | some reason in budget.deny} == {"training.budget-unknown"} with input as complete
		with data.interlock.profiles as required
}

test_no_team_evades_the_budget_of_its_pipeline_in_any_profile if {
	others := {examples.changed(complete, "requested/team", team) | some team in ["other", "", null, true, 7, [], {}]}
	for_all := {"fraud": object.union(examples.budgets.fraud, {"pipelines": "any"})}
	every name in object.keys(data.interlock.profiles) {
		every evading in others | {json.remove(complete, ["requested/team"])} {
			every budgets in [examples.budgets, for_all] {
				{reason.id | some reason in budget.deny} == {"training.budget-unknown"}
					with input as object.union(evading, {"profile": name})
					with data.interlock.budgets as budgets
			}
		}
	}
}

test_a_budget_that_cannot_be_read_frees_nobody if {
	without := json.remove(complete, ["requested/team"])
	every wrong in [null, true, 7, "text", [7], [null], {}] {
		count(budget.deny) > 0 with input as without
			with data.interlock.budgets as {"fraud": object.union(examples.budgets.fraud, {"pipelines": wrong})}
	}
	every document in examples.spoiled(without, "run/pipeline") {
		count(budget.deny) > 0 with input as document with data.interlock.budgets as elsewhere
	}
}

test_a_profile_that_does_not_ask_is_content if {
	budget.deny == set() with input as examples.changed(complete, "requested/team", 7)
		with data.interlock.profiles as examples.strictly("training/budgets", "any")
}

test_a_pipeline_cannot_spend_the_budget_of_others if {
	changed := examples.changed(complete, "run/pipeline", "mine")
	{[reason.id, reason.message] | some reason in budget.deny} == {[
		"training.budget-unknown",
		"team fraud has no budget that pipeline mine may spend",
	]} with input as changed with data.interlock.budgets as examples.budgets
	budget.deny == set() with input as changed
		with data.interlock.budgets as {"fraud": object.union(examples.budgets.fraud, {"pipelines": "any"})}
}

test_too_much_is_denied if {
	changed := examples.changed(complete, "requested/budget/gpu_hours", 10.5)
	{[reason.id, reason.message] | some reason in budget.deny} == {[
		"training.budget",
		"gpu_hours of team fraud: 90 used this month and 10.5 asked for, of 100",
	]} with input as changed with data.interlock.budgets as examples.budgets
}

test_a_negative_number_buys_nothing if {
	every path in ["requested/budget/gpu_hours", "report/measures/month_gpu_hours/value"] {
		changed := examples.changed(complete, path, -1000)
		{reason.id | some reason in budget.deny} == {"training.budget"} with input as changed
			with data.interlock.budgets as examples.budgets
	}
}

test_a_resource_without_a_limit_need_not_be_known if {
	changed := json.remove(complete, ["requested/budget/energy_kwh", "report/measures/month_energy_kwh"])
	budget.deny == set() with input as changed with data.interlock.budgets as examples.budgets
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"report",
		"report/measures",
		"report/measures/month_gpu_hours",
		"report/measures/month_gpu_hours/value",
		"report/measures/month_money",
		"report/measures/month_money/value",
		"requested",
		"requested/team",
		"requested/budget",
		"requested/budget/gpu_hours",
		"requested/budget/money",
		"run",
		"run/pipeline",
	] {
		every document in examples.spoiled(complete, path) {
			count(budget.deny) > 0 with input as document
				with data.interlock.budgets as examples.budgets
				with data.interlock.profiles as required
		}
	}
}

test_a_team_of_another_type_is_never_free if {
	every wrong in [null, true, 7, [], {}] {
		count(budget.deny) > 0 with input as examples.changed(complete, "requested/team", wrong)
	}
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["strict/training", "strict/training/budgets"] {
		every profiles in examples.profiles_without(path) {
			count(budget.deny) > 0 with input as complete with data.interlock.profiles as profiles
		}
	}
	every path in ["fraud", "fraud/pipelines", "fraud/gpu_hours", "fraud/energy_kwh", "fraud/money"] {
		every budgets in examples.spoiled(examples.budgets, path) {
			count(budget.deny) > 0 with input as complete
				with data.interlock.budgets as budgets
				with data.interlock.profiles as required
		}
	}
	every wrong in [null, true, 7, "", []] {
		count(budget.deny) > 0 with input as complete with data.interlock.budgets as wrong
	}
}

test_an_overrun_is_a_warning if {
	finished := examples.complete.finished_training
	budget.warn == set() with input as finished
	changed := examples.changed(finished, "report/measures/gpu_hours/value", 6)
	{[w.id, w.message] | some w in budget.warn} == {[
		"training.budget-overrun",
		"gpu_hours used 6 and asked for 5",
	]} with input as changed
}
