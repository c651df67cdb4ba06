# METADATA
# title: Tests of what no object may ask for
package interlock.kubernetes.forbidden_test

import data.interlock.kubernetes.examples_test as examples
import data.interlock.kubernetes.forbidden

test_a_field_of_a_wrong_type_is_a_problem if {
	every key, text in forbidden.fields {
		every wrong in [null, "text", ["text"], {"type": "x", "host": "y", "add": "z"}] {
			forbidden.problems({"spec": {key: wrong}}) == {sprintf("spec.%s: %s", [key, text])}
		}
	}
}

test_names_are_not_settings if {
	every place in ["metadata", "labels", "annotations", "matchLabels", "nodeSelector"] {
		forbidden.problems({"spec": {place: {"hostNetwork": "true"}}}) == set()
	}
}

test_the_examples_ask_for_nothing_forbidden if {
	every manifest in examples.manifests {
		forbidden.problems(manifest) == set()
	}
}

test_metadata_must_be_maps_of_texts if {
	every part in ["annotations", "labels"] {
		every wrong in [null, 5, "zz", ["a"], {"a": 5}, {"a": null}, {"a": {}}] {
			pod := json.patch(examples.gpu_pod, [{"op": "add", "path": concat("/", ["metadata", part]), "value": wrong}])
			forbidden.problems(pod) == {sprintf("metadata.%s must be a map of texts", [part])}
			template := json.patch(examples.deployment, [{
				"op": "add",
				"path": concat("/", ["spec/template/metadata", part]),
				"value": wrong,
			}])
			forbidden.problems(template) == {sprintf("spec.template.metadata.%s must be a map of texts", [part])}
		}
	}
	every wrong in [null, 5, "zz", ["a"]] {
		count(forbidden.problems(object.union(examples.gpu_pod, {"metadata": wrong}))) == 2
	}
}

test_a_profile_of_apparmor_that_is_no_text_confines_nothing if {
	key := "container.apparmor.security.beta.kubernetes.io/main"
	every wrong in [null, 5, true, ["localhost/a"], {}] {
		sprintf("annotation %s must be runtime/default or localhost/", [key]) in forbidden.problems({
			"apiVersion": "v1",
			"kind": "Pod",
			"metadata": {"annotations": {key: wrong}},
		})
	}
}
