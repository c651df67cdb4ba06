# METADATA
# title: Tests of kubernetes.one-model
package interlock.kubernetes.rules.model_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.rules.model

test_the_examples_pass if {
	every review in examples.allowed {
		model.deny == set() with input as review
	}
}

test_a_second_model_is_refused if {
	every addition in [
		{"path": "spec/transformer", "value": {"containers": [{"name": "a", "storageUri": "s3://models/b/"}]}},
		{"path": "spec/explainer", "value": {"model": {"storageUri": "s3://models/b/"}}},
		{"path": "spec/predictor/model/storage", "value": {"key": "a", "path": "b"}},
		{"path": "spec/predictor/storageUris", "value": [{"uri": "s3://models/b/"}]},
		{"path": "spec/predictor/storageUris", "value": "s3://models/b/"},
		{"path": "spec/predictor/model/storageUri", "value": "s3://models/a/", "more": {
			"op": "add",
			"path": "spec/predictor/storageUris",
			"value": ["s3://models/b/"],
		}},
	] {
		patches := [object.remove(object.union({"op": "add"}, addition), ["more"])]
		more := [patch | patch := addition.more]
		manifest := json.patch(examples.inference_service, array.concat(patches, more))
		{[r.id, r.message] | some r in model.deny} == {[
			"kubernetes.one-model",
			"InferenceService it loads 2 models under one receipt",
		]} with input as examples.review(manifest)
	}
}

test_the_same_model_twice_is_one if {
	manifest := json.patch(examples.inference_service, [{
		"op": "add",
		"path": "spec/transformer",
		"value": {"containers": [{"name": "a", "storageUri": "s3://models/it/"}]},
	}])
	model.deny == set() with input as examples.review(manifest)
}
