# METADATA
# title: Every protected step is held by its gates
# description: |-
#   The chain rule: for every protected step and every gate kind that it needs there must be a path from a gate of that
#   kind to the step on which every node after the gate, the step included, runs only if all its upstreams succeeded. A
#   failed or skipped gate then stops everything along it. The gate must look at what the step uses, by the names that
#   the pipeline gives things; of several things each needs a gate of its own. `interlock.pipeline.chain` is the same
#   rule in Python, where it also finds the shortest fix; the two are held against each other on random graphs.
package interlock.pipeline.chain

import data.interlock.facts
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: A step that can be relied on to stop as a gate
# description: The real gate, with nothing over or around it, and no setup or teardown, whose failures do not travel.
stops(step) if {
	step.gate != ""
	step.genuine == true
	count(step.overrides) == 0
	step.setup == false
	step.teardown == false
}

# METADATA
# title: Steps that pass a failure on
# description: A failed or skipped upstream surely keeps them from running.
passing contains step.id if {
	some step in shape.steps
	step.needs_all_upstreams == true
	step.setup == false
	step.teardown == false
}

# METADATA
# title: Where a failure travels from each step
# description: To the downstream steps that pass it on.
onward[step.id] := {after |
	some [before, after] in shape.edges
	before == step.id
	after in passing
} if {
	some step in shape.steps
}

# METADATA
# title: The gate kinds that a step needs
# description: What it asks for itself, and what the profile requires before a step of its kind.
needed(step) := {kind | some kind in step.requires} | {kind |
	some kind in facts.names("required", step.protects)
}

# METADATA
# title: Kinds of gate whose subject is no input of a step
# description: The pipeline itself, an endpoint, what is deployed.
unbound := {"pipeline", "inference-probe", "deployment"}

# METADATA
# title: Kinds of gate whose subject may also be what an input was made from
# description: They look at data, and a model is made from data. A scan of the data is no scan of the model.
traced := {"data-validation", "data-poisoning"}

# METADATA
# title: What the subject of a gate of a kind is
# description: Nothing that a step uses, data, or a thing that a step uses. Always defined.
sort_of(kind) := "unbound" if {
	kind in unbound
} else := "traced" if {
	kind in traced
} else := "own"

# METADATA
# title: What a gate looks at
# description: Its subject, or the empty name where that is not asked. Undefined when it must say it and does not.
# scope: document
looks_at(step) := step.subject if {
	step.subject != ""
	sort_of(step.gate) != "unbound"
}

looks_at(step) := "" if sort_of(step.gate) == "unbound"

# METADATA
# title: Which things each named thing is made from
# description: The inputs of every step that makes it.
made_from[name] := {input_name |
	some step in shape.steps
	some made in step.outputs
	made == name
	some input_name in step.inputs
	input_name != ""
} if {
	some step in shape.steps
	some name in array.concat(step.inputs, step.outputs)
	name != ""
}

# METADATA
# title: What a gate may look at on behalf of one thing that a step uses, by kind
# description: That thing, and for the kinds that look at data what it was made from, too.
# scope: document
accepted(name, kind) := graph.reachable(made_from, {name}) | {name} if sort_of(kind) == "traced"

accepted(name, kind) := {name} if sort_of(kind) == "own"

# METADATA
# title: The inputs that a step names
# description: An empty name names nothing.
named(step) := {name |
	some name in step.inputs
	name != ""
}

# METADATA
# title: Steps that sound gates of a kind hold, by what these look at
# description: All that their failure surely stops.
held[kind][name] := graph.reachable(onward, starts) if {
	some first in shape.steps
	stops(first)
	kind := first.gate
	name := looks_at(first)
	starts := {after |
		some gate in shape.steps
		gate.gate == kind
		stops(gate)
		looks_at(gate) == name
		some after in onward[gate.id]
	}
}

# METADATA
# title: A step is held by gates of a kind
# description: For each thing that the step uses, one that looks at it. A step that names nothing is held by none.
# scope: document
holds(step, kind) if {
	sort_of(kind) == "unbound"
	held[kind][""][step.id]
}

holds(step, kind) if {
	sort_of(kind) != "unbound"
	count(named(step)) > 0
	every name in named(step) {
		some seen in accepted(name, kind)
		held[kind][seen][step.id]
	}
}

# METADATA
# title: Steps that a gate does not hold
# description: Each with the kind of the gate.
unheld contains [id, kind] if {
	some step in shape.steps
	step.protects != ""
	some kind in needed(step)
	id := step.id
	not holds(step, kind)
}

# METADATA
# title: A protected step is not held by a gate that it needs
# description: No gate of the kind is in front of it, or something on the way runs whether the gate passed or not.
# custom:
#   id: pipeline.chain
#   severity: critical
#   remediation: Put the gate in front of the step, and let every step between them need all its upstreams
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0020}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.013}
#     - {framework: NIST AI RMF, version: "1.0", id: MANAGE 4.1}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some step in shape.steps
	some [step.id, kind] in unheld
	message := sprintf("step %s is not held by %s: %s", [step.id, kind, hint(step, kind)])
}

# METADATA
# title: The profile says nothing of a protected step
# description: Then nobody could say by which gates it must be held.
# custom:
#   id: pipeline.nothing-required
#   severity: critical
#   remediation: Name the gates under `required` in the profile's data
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some step in shape.steps
	step.protects != ""
	not asked_of(step)
	message := sprintf("profile %s requires no gate before %s step %s", [facts.shown_profile, step.protects, step.id])
}

# METADATA
# title: The profile requires a gate before such a step
# description: Undefined unless it names at least one.
asked_of(step) if count(facts.names("required", step.protects)) > 0

# METADATA
# title: No gate of a kind can have looked at what a step uses
# description: Because it names nothing.
unsaid(step, kind) if {
	sort_of(kind) != "unbound"
	count(named(step)) == 0
}

# METADATA
# title: There are sound gates of a kind that look at what a step uses
# description: Whether a path leads from them or not.
# scope: document
looked_at(_, kind) if {
	sort_of(kind) == "unbound"
	held[kind][""]
}

looked_at(step, kind) if {
	sort_of(kind) != "unbound"
	count(named(step)) > 0
	every name in named(step) {
		some seen in accepted(name, kind)
		held[kind][seen]
	}
}

# METADATA
# title: What is in the way
# description: Always defined.
hint(step, kind) := "the step does not say what it uses, so no gate can have looked at it" if {
	unsaid(step, kind)
} else := "there is a sound gate, but no path leads from it on which every step needs its upstreams" if {
	looked_at(step, kind)
} else := "the gate that is sound looks at something else than the step uses" if {
	held[kind]
} else := "what claims to be the gate is not the real one, is overridden, names nothing, or is a setup or teardown" if {
	some gate in shape.steps
	gate.gate == kind
} else := "there is no such gate in the pipeline"
