# METADATA
# title: Tests of deployment.manifests
package interlock.deployment.manifests_test

import data.interlock.deployment.examples_test as examples
import data.interlock.deployment.manifests
import data.interlock.examples_test as documents
import data.interlock.kubernetes.examples_test as cluster

reasons(document) := {[reason.id, reason.message] |
	# regal ignore:with-outside-test-context,external-reference
	some reason in manifests.deny with input as document with data.interlock.profiles as examples.demanding
}

ids(document) := {id | some [id, _] in reasons(document)}

test_the_example_passes if {
	reasons(examples.full) == set()
	manifests.applies with input as examples.full
}

test_they_may_be_absent_where_the_profile_says_so if {
	manifests.deny == set() with input as documents.deployment_guard
}

test_every_field_read_must_be_there_with_its_type if {
	every path in [
		"requested",
		"requested/manifests",
		"requested/manifests/0/apiVersion",
		"requested/manifests/0/kind",
		"requested/manifests/0/metadata",
		"requested/manifests/0/spec",
		"requested/manifests/0/spec/containers",
		"requested/manifests/0/spec/containers/0/image",
		"subject/digest/sha256",
	] {
		every document in examples.spoiled(path) {
			count(reasons(document)) > 0
		}
	}
	every wrong in [null, true, 7, "text", [], {}] {
		ids(documents.changed(examples.full, "requested/manifests/0", wrong)) == {"deployment.manifests"}
	}
	ids(documents.changed(examples.full, "requested/manifests", [])) == {"deployment.manifests"}
}

test_a_list_hides_no_objects if {
	wrapped := {
		"apiVersion": "v1",
		"kind": "List",
		"metadata": {"labels": {"app": "it"}},
		"items": [cluster.manifests.deployment],
	}
	ids(examples.changed("requested/manifests/-", wrapped)) == {"deployment.manifests"}
}

test_pods_are_judged_as_in_the_cluster if {
	"deployment.pod-security" in ids(examples.changed("requested/manifests/0/spec/hostNetwork", true))
	ids(examples.changed("requested/manifests/0/spec/automountServiceAccountToken", true)) == {"deployment.pod-security"}
}

test_every_pod_needs_its_network_policy if {
	reasons(json.remove(examples.full, ["requested/manifests/1"])) == {
		["deployment.network-policy", "Pod it: no network policy holds its pods for Ingress"],
		["deployment.network-policy", "Pod it: no network policy holds its pods for Egress"],
	}
	every kind in ["inference_service", "train_job", "deployment"] {
		ids(examples.changed("requested/manifests/-", cluster.manifests[kind])) == {"deployment.network-policy"}
	}
}

test_the_profile_says_which_directions if {
	profiles := documents.changed(examples.demanding, "standard/deployment/network_policy", ["Ingress"])
	found := manifests.deny with input as json.remove(examples.full, ["requested/manifests/1"])
		with data.interlock.profiles as profiles
	{reason.message | some reason in found} == {"Pod it: no network policy holds its pods for Ingress"}
	every wrong in [null, 7, "Ingress", {}, [7]] {
		spoiled := documents.changed(examples.demanding, "standard/deployment/network_policy", wrong)
		more := manifests.deny with input as json.remove(examples.full, ["requested/manifests/1"])
			with data.interlock.profiles as spoiled
		count(more) == 2
	}
}

test_an_image_whose_receipts_were_not_looked_at_is_refused if {
	other := concat("", ["ghcr.io/acme/sidecar@sha256:", examples.data_digest])
	document := examples.changed(
		"requested/manifests/0/spec/initContainers",
		[object.union(cluster.container, {"image": other})],
	)
	reasons(document) == {["deployment.manifest-image", concat("", [
		"Pod it: spec.initContainers.0.image: no receipts were looked at for ",
		other,
	])]}
}

test_images_need_no_receipts_where_the_profile_asks_for_none if {
	document := documents.changed(examples.full, "lineage", [])
	manifests.deny == set() with input as document
	every wrong in [null, "", 7, {}] {
		profiles := documents.changed(examples.demanding, "standard/deployment/required_of_image", wrong)
		count(manifests.deny) == 1 with input as document with data.interlock.profiles as profiles
	}
}

test_an_object_for_another_model_is_refused if {
	annotation := "requested/manifests/0/metadata/annotations/interlock.dev~1subject-sha256"
	reasons(examples.changed(annotation, examples.data_digest)) == {[
		"deployment.manifest-subject",
		sprintf("Pod it is annotated for %s", [examples.data_digest]),
	]}
	reasons(json.remove(examples.full, [annotation])) == set()
}

test_an_annotation_that_is_no_text_is_refused if {
	annotation := "requested/manifests/0/metadata/annotations/interlock.dev~1subject-sha256"
	every wrong in [5, null, [], {}, true, false] {
		ids(examples.changed(annotation, wrong)) == {"deployment.manifest-subject", "deployment.pod-security"}
	}
	receipt := "requested/manifests/0/metadata/annotations/interlock.dev~1receipt"
	every wrong in [5, null, [], {}, true, false] {
		reasons(examples.changed(receipt, wrong)) == {[
			"deployment.pod-security",
			"Pod it: metadata.annotations must be a map of texts",
		]}
	}
}

test_metadata_that_is_no_map_is_refused if {
	every wrong in [null, 5, "zz", true, ["interlock.dev/subject-sha256"]] {
		"deployment.pod-security" in ids(examples.changed("requested/manifests/0/metadata/annotations", wrong))
		"deployment.pod-security" in ids(examples.changed("requested/manifests/0/metadata/labels", wrong))
		ids(examples.changed("requested/manifests/1/metadata/annotations", wrong)) == {"deployment.pod-security"}
	}
}

test_objects_are_shown_without_their_names if {
	document := json.remove(examples.full, ["requested/manifests/0/metadata/name", "requested/manifests/1"])
	"Pod (unnamed): no network policy holds its pods for Ingress" in {message | some [_, message] in reasons(document)}
}
