# METADATA
# title: Tests of how rules are enforced
package interlock.pipeline.modes_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.examples_test as examples
import data.interlock.pipeline.modes

test_only_two_words_soften if {
	every word in [null, "", "none", "Off", "enforce", 0, false, [], {}] {
		profiles := documents.changed(data.interlock.profiles, "standard/pipeline/images", word)
		modes.enforced("images") with input as examples.pipeline with data.interlock.profiles as profiles
		not modes.audited("images") with input as examples.pipeline with data.interlock.profiles as profiles
	}
	every word in ["audit", "off"] {
		profiles := documents.changed(data.interlock.profiles, "standard/pipeline/images", word)
		not modes.enforced("images") with input as examples.pipeline with data.interlock.profiles as profiles
	}
}

test_a_profile_that_is_missing_enforces if {
	modes.enforced("images") with input as object.union(examples.pipeline, {"profile": "relaxed"})
}
