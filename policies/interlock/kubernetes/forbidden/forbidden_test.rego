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
