# METADATA
# title: The expectations hold
# description: Great Expectations calls a suite that evaluated nothing a success; this rule does not.
# schemas:
#   - input: schema.decision_input
package interlock.dataset.expectations

import data.interlock.facts

# METADATA
# title: Which reports this rule judges
# description: Validation.
applies if {
	facts.stage == "gate"
	facts.gate == "data-validation"
}

# METADATA
# title: Enough expectations were evaluated
# description: Undefined unless the gate counted them; never content with none.
evaluated if {
	facts.measure("expectations_evaluated") > 0
	facts.at_least("expectations_evaluated", "validation", "min_expectations")
}

# METADATA
# title: No expectations evaluated
# description: A suite that checks nothing finds nothing.
# custom:
#   id: dataset.expectations-evaluated
#   severity: critical
#   remediation: Draft a suite with `interlock validation suggest DATA`, edit it, and name it in the gate
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not evaluated
	message := sprintf(
		"%v expectations evaluated; profile %v asks for at least %v",
		[
			facts.shown_measure("expectations_evaluated"),
			facts.shown_profile,
			facts.shown_limit("validation", "min_expectations"),
		],
	)
}

# METADATA
# title: Expectations failed
# description: The data is not what its suite says.
# custom:
#   id: dataset.expectations-failed
#   severity: high
#   remediation: Look at the failed expectations in the report; repair the data, or the suite if the data is right
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.zero("expectations_failed")
	message := sprintf(
		"%v of %v expectations failed",
		[facts.shown_measure("expectations_failed"), facts.shown_measure("expectations_evaluated")],
	)
}

# METADATA
# title: Expectations could not be evaluated
# description: An expectation that raised an error says neither yes nor no.
# custom:
#   id: dataset.expectations-errored
#   severity: high
#   remediation: Look at the errors in the report; a column may be missing or of another type
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.zero("expectations_errored")
	message := sprintf("%v expectations could not be evaluated", [facts.shown_measure("expectations_errored")])
}

# METADATA
# title: Required expectations are missing
# description: The gate names expectations that the suite must hold.
# custom:
#   id: dataset.expectations-required
#   severity: high
#   remediation: Add the missing expectations to the suite
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0059}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0007}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM05:2026"}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM04:2025"}
#     - {framework: OWASP ML Top 10, version: "2023", id: "ML02:2023"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.012}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.5}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 10}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.7.4}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not facts.zero("required_missing")
	message := sprintf("%v required expectations are not in the suite", [facts.shown_measure("required_missing")])
}
