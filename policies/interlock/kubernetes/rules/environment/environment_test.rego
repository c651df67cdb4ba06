# METADATA
# title: Tests of the variables that objects set
package interlock.kubernetes.rules.environment_test

import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.rules.environment

container := "request/object/spec/containers/0"

added(review, path, value) := json.patch(review, [{"op": "add", "path": path, "value": value}])

with_env(list) := added(examples.allowed.gpu_pod, concat("/", [container, "env"]), list)

denied(review) if {
	# regal ignore:with-outside-test-context
	found := environment.deny with input as review
	count(found) > 0
}

test_what_is_allowed_sets_no_settings if {
	every review in examples.allowed {
		not denied(review)
	}
}

test_a_setting_is_refused_wherever_it_stands if {
	denied(with_env([{"name": "EPOCHS", "value": "3"}, {"name": "INTERLOCK_PROFILE", "value": "dev"}]))
	denied(with_env([{"name": "INTERLOCK_LEDGER_URL", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]))
	denied(added(
		examples.allowed.inference_service,
		"request/object/spec/predictor/model/env",
		[{"name": "INTERLOCK_CONFIG"}],
	))
	denied(added(
		examples.allowed.train_job,
		"request/object/spec/trainer/env",
		[{"name": "INTERLOCK_CONFIG"}],
	))
	denied(added(
		examples.allowed.gpu_pod,
		concat("/", [container, "envFrom"]),
		[{"prefix": "INTERLOCK_"}],
	))
}

test_what_says_what_to_use_is_let_pass if {
	not denied(with_env([{"name": "INTERLOCK_DATA", "value": "/interlock/data/train.csv"}]))
	not denied(with_env([{"name": "EPOCHS", "value": "3"}]))
}

test_without_a_list_every_variable_of_ours_is_refused if {
	review := with_env([{"name": "INTERLOCK_DATA", "value": "x"}])
	every profiles in documents.spoiled(data.interlock.profiles, "standard/kubernetes/variables") {
		found := environment.deny with input as review with data.interlock.profiles as profiles
		count(found) > 0
	}
}

test_what_is_no_list_of_variables_is_passed_over if {
	every wrong in [null, 7, {}, [7], [{"name": 7}]] {
		not denied(with_env(wrong))
	}
}
