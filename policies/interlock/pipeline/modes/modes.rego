# METADATA
# title: How a rule of this pack is enforced
# description: |-
#   `enforce` refuses, `audit` warns and `off` is silent, as in kubeflow/pipelines#13151. Whatever else stands there, or
#   nothing, enforces.
package interlock.pipeline.modes

import data.interlock.facts

# METADATA
# title: The rule refuses
# description: Always, unless the profile says one of the two words for less.
enforced(rule) if not softened(rule)

# METADATA
# title: The profile asks for less than a refusal
# description: Undefined unless it says so.
softened(rule) if facts.profile.pipeline[rule] in {"audit", "off"}

# METADATA
# title: The rule warns
# description: Undefined unless the profile says so.
audited(rule) if facts.profile.pipeline[rule] == "audit"
