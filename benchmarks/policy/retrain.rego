# METADATA
# title: Measured policy
# description: Seventy lines over a pipeline of 60 tasks, its 20 artifacts and 30 findings.
package benchmark.retrain

default allow := false

allow if count(deny) == 0

result := {"allow": allow, "reasons": sort([reason | some reason in deny])}

protected := {"training", "deployment"}

gates := {"data-validation", "data-poisoning", "artifact-scan"}

edges := {task.id: task.upstream | some task in input.tasks}

kind_of := {task.id: task.kind | some task in input.tasks}

before[task.id] := {kind_of[id] | some id in graph.reachable(edges, edges[task.id])} if {
	some task in input.tasks
	task.kind in protected
}

pinned(image) if regex.match(`^[a-z0-9./-]+@sha256:[0-9a-f]{64}$`, image)

allowed_registry(image) if {
	some registry in input.registries
	startswith(image, registry)
}

severe(finding) if finding.level in {"error", "critical"}

waived(finding) if {
	some exemption in input.exemptions
	exemption.rule == finding.rule
	exemption.subject == finding.subject
	time.parse_rfc3339_ns(exemption.until) > time.parse_rfc3339_ns(input.now)
}

signed_by_ours(artifact) if artifact.signer in input.keys

deny contains {"id": "gate-missing", "subject": id, "message": message} if {
	some id, kinds in before
	some gate in (gates - kinds)
	message := sprintf("%s runs without %s before it", [id, gate])
}

deny contains {"id": "image", "subject": task.id, "message": task.image} if {
	some task in input.tasks
	not pinned(task.image)
}

deny contains {"id": "registry", "subject": task.id, "message": task.image} if {
	some task in input.tasks
	not allowed_registry(task.image)
}

deny contains {"id": "artifact", "subject": artifact.uri, "message": "nobody of ours has signed it"} if {
	some artifact in input.artifacts
	not signed_by_ours(artifact)
}

deny contains {"id": "finding", "subject": finding.subject, "message": finding.rule} if {
	some finding in input.findings
	severe(finding)
	not waived(finding)
}
