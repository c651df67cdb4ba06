# METADATA
# title: Tests of the reads of an AdmissionReview
package interlock.kubernetes.review_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.review

test_texts_are_always_defined if {
	review.shown == "object (unnamed)" with input as {}
	review.shown == "Pod it" with input as examples.allowed.pod
	made_up := json.patch(json.remove(examples.allowed.pod, ["request/object/metadata/name"]), [{
		"op": "add",
		"path": "request/object/metadata/generateName",
		"value": "train-",
	}])
	review.shown == "Pod train-*" with input as made_up
	every wrong in [null, 7, [], {}] {
		spoiled := {"request": {"kind": {"kind": wrong}, "object": {"metadata": {"name": wrong, "generateName": wrong}}}}
		review.shown == "object (unnamed)" with input as spoiled
	}
}

test_only_a_change_has_an_object_before_it if {
	not review.current with input as examples.allowed.pod
	review.current == examples.gpu_pod with input as examples.update(examples.gpu_pod, examples.gpu_pod)
}
