# METADATA
# title: The graph of the pipeline can be read
# description: |-
#   `report.facts.pipeline` is the neutral graph (`policies/schemas/pipeline_graph.json`) that an adapter makes of an
#   Airflow DAG or a Kubeflow pipeline. Every field is looked at here, once; the other rules of this pack read a graph
#   that is sound and are silent where it is not, because this one has already refused it.
# schemas:
#   - input: schema.decision_input
#   - input.report.facts.pipeline: schema.pipeline_graph
package interlock.pipeline.shape

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if {
	facts.stage == "gate"
	facts.gate == "pipeline"
}

# METADATA
# title: The steps
# description: Undefined unless the whole graph is sound.
steps := input.report.facts.pipeline.steps if sound

# METADATA
# title: The edges, each from an upstream to a downstream step
# description: Undefined unless the whole graph is sound.
edges := input.report.facts.pipeline.edges if sound

# METADATA
# title: The graph can be read
# description: Undefined unless there is a step, each has its own id and all its fields, and edges join steps.
sound if {
	pipeline := input.report.facts.pipeline
	is_array(pipeline.steps)
	count(pipeline.steps) > 0
	every step in pipeline.steps {
		readable(step)
	}
	count(ids) == count(pipeline.steps)
	is_array(pipeline.edges)
	every edge in pipeline.edges {
		is_array(edge)
		count(edge) == 2
		every end in edge {
			end in ids
		}
	}
}

# METADATA
# title: The ids of the steps
# description: Those that are texts.
ids contains step.id if {
	some step in input.report.facts.pipeline.steps
	is_string(step.id)
}

# METADATA
# title: A step can be read
# description: Undefined unless every field is there with its type.
readable(step) if {
	every field in ["id", "gate", "subject", "because", "rule", "image", "unguarded"] {
		is_string(step[field])
	}
	step.id != ""
	step.protects in {"", "training", "deployment"}
	every field in ["genuine", "needs_all_upstreams", "setup", "teardown", "cached"] {
		is_boolean(step[field])
	}
	every field in texts {
		is_array(step[field])
		every item in step[field] {
			is_string(item)
		}
	}
	is_array(step.settings)
	every setting in step.settings {
		is_string(setting.name)
		is_string(setting.kind)
		is_string(setting.shape)
	}
}

# METADATA
# title: Fields of a step that are lists of texts
# description: Their names.
texts := {
	"overrides",
	"requires",
	"inputs",
	"outputs",
	"starts",
	"foreign_receipts",
	"installs",
	"secrets",
	"mounts",
}

# METADATA
# title: The graph cannot be read
# description: A field is missing or of another type, two steps share an id, or an edge leads nowhere.
# custom:
#   id: pipeline.graph
#   severity: critical
#   remediation: Make the graph with interlock.pipeline.graph_document; see policies/schemas/pipeline_graph.json
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not sound
	message := "the pipeline's graph (report.facts.pipeline) lacks a field, names a step twice, or joins what is no step"
}
