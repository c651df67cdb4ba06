# METADATA
# title: The classes are balanced enough
# description: A class that almost vanished is what erosion of a dataset looks like, and what a model learns badly.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.balance

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Poisoning scans, which count labels.
applies if {
	facts.stage == "gate"
	facts.gate == "data-poisoning"
}

# METADATA
# title: Too few classes
# description: Fewer than the profile asks for, or not counted.
# custom:
#   id: dataset.classes
#   severity: medium
#   remediation: Look at the class counts in the report; find out where the rows went, or collect more
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML08:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_below("classes", "dataset", "min_classes")
	message := sprintf(
		"%v classes; profile %v asks for at least %v",
		[facts.shown_measure("classes"), facts.shown_profile, facts.shown_limit("dataset", "min_classes")],
	)
}

# METADATA
# title: The smallest class has too few rows
# description: Fewer than the profile asks for, or not counted.
# custom:
#   id: dataset.smallest-class
#   severity: medium
#   remediation: Look at the class counts in the report; find out where the rows went, or collect more
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML08:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_below("smallest_class_rows", "dataset", "min_smallest_class_rows")
	message := sprintf(
		"%v rows in the smallest class; profile %v asks for at least %v",
		[
			facts.shown_measure("smallest_class_rows"),
			facts.shown_profile,
			facts.shown_limit("dataset", "min_smallest_class_rows"),
		],
	)
}

# METADATA
# title: The smallest class is too small a share
# description: Fewer than the profile asks for, or not counted.
# custom:
#   id: dataset.class-share
#   severity: medium
#   remediation: Look at the class counts in the report; find out where the rows went, or collect more
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML08:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.bounded_below("smallest_class_fraction", "dataset", "min_smallest_class_fraction")
	message := sprintf(
		"%v of the rows are in the smallest class; profile %v asks for at least %v",
		[
			facts.shown_measure("smallest_class_fraction"),
			facts.shown_profile,
			facts.shown_limit("dataset", "min_smallest_class_fraction"),
		],
	)
}
