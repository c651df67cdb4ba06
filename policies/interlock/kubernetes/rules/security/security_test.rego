# METADATA
# title: Tests of kubernetes.pod-security
package interlock.kubernetes.rules.security_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.rules.security

test_the_examples_pass if {
	every review in examples.allowed {
		security.deny == set() with input as review
	}
}

test_each_problem_is_a_reason if {
	spec := object.union(examples.spec, {"hostNetwork": true, "automountServiceAccountToken": true})
	{[reason.id, reason.message] | some reason in security.deny} == {
		["kubernetes.pod-security", "Pod it: spec.hostNetwork: must be false (profile standard)"],
		["kubernetes.pod-security", "Pod it: spec.automountServiceAccountToken: must be false (profile standard)"],
		["kubernetes.pod-security", "Pod it: spec: automountServiceAccountToken must be false (profile standard)"],
	} with input as examples.review(examples.pod(spec))
}

test_a_change_is_judged_like_a_new_object if {
	debugged := object.union(examples.spec, {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]})
	changed := examples.update(examples.pod(examples.spec), examples.pod(debugged))
	reasons := security.deny with input as object.union(changed, {"request": {"subResource": "ephemeralcontainers"}})
	count(reasons) > 0
}
