# METADATA
# title: The pipeline is not too large
# description: A limit on steps keeps one pipeline from taking the scheduler, and the review of it from being nobody's.
package interlock.pipeline.size

import data.interlock.facts
import data.interlock.pipeline.shape

# METADATA
# title: Which reports this rule judges
# description: Pipelines.
applies if shape.applies

# METADATA
# title: There are not more steps than the profile allows
# description: Undefined unless the profile has a limit.
sound if count(shape.steps) <= facts.limit("pipeline", "max_steps")

# METADATA
# title: The pipeline has too many steps
# description: Or the profile has no limit.
# custom:
#   id: pipeline.steps
#   severity: medium
#   remediation: Split the pipeline
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0029}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM06:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM10:2025"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.014}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	steps := shape.steps
	not sound
	message := sprintf(
		"%d steps; profile %s allows %s",
		[count(steps), facts.shown_profile, facts.shown_limit("pipeline", "max_steps")],
	)
}
