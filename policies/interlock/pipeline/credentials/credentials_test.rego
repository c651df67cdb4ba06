# METADATA
# title: Tests of pipeline.credentials
package interlock.pipeline.credentials_test

import data.interlock.examples_test as documents
import data.interlock.pipeline.credentials
import data.interlock.pipeline.examples_test as examples

setting(name, shape) := examples.changed("steps/2/settings", [{"name": name, "kind": "env", "shape": shape}])

test_the_example_passes if {
	credentials.deny == set() with input as examples.pipeline
	credentials.applies with input as examples.pipeline
}

test_names_of_credentials_are_known if {
	every name in [
		"PASSWORD",
		"db_password",
		"dbPassword",
		"passwd",
		"PASSPHRASE",
		"AWS_SECRET_ACCESS_KEY",
		"secret",
		"clientSecret",
		"API_KEY",
		"apiKey",
		"api-key",
		"OPENAI_API_KEY",
		"private_key",
		"token",
		"HF_TOKEN",
		"hfToken",
		"github.token",
		"access_token",
		"credentials",
		"CONNECTION_STRING",
	] {
		count(credentials.deny) == 1 with input as setting(name, "plain")
		credentials.deny == set() with input as setting(name, "reference")
		credentials.deny == set() with input as setting(name, "empty")
	}
}

test_names_that_only_sound_like_it_are_left_alone if {
	every name in [
		"max_tokens",
		"num_tokens",
		"tokenizer",
		"TOKENIZERS_PARALLELISM",
		"pad_token",
		"EOS_TOKEN",
		"monkey",
		"key",
		"keyword",
		"partition_key",
		"compass",
		"passes",
	] {
		credentials.deny == set() with input as setting(name, "plain")
	}
}

test_the_shape_of_a_credential_is_refused_under_every_name if {
	every shape in ["private-key", "aws-access-key", "jwt", "too-long", "url-with-password", "", "PLAIN"] {
		{[reason.id, reason.message] | some reason in credentials.deny} == {[
			"pipeline.credentials",
			sprintf("this looks like a credential in clear: step load: env SPLIT (%s)", [shape]),
		]} with input as setting("SPLIT", shape)
	}
}

test_an_audit_warns if {
	profiles := documents.changed(data.interlock.profiles, "standard/pipeline/credentials", "audit")
	credentials.deny == set() with input as setting("token", "plain") with data.interlock.profiles as profiles
	warnings := credentials.warn with input as setting("token", "plain") with data.interlock.profiles as profiles
	{warning.id | some warning in warnings} == {"pipeline.credentials-audited"}
	credentials.warn == set() with input as setting("token", "plain")
}

test_every_parameter_must_be_there_with_its_type if {
	every path in ["harmless_shapes", "credential_names"] {
		every profiles in documents.profiles_without(concat("/", ["standard/pipeline", path])) {
			count(credentials.deny) > 0 with input as examples.pipeline with data.interlock.profiles as profiles
		}
		every wrong in [[], [7], ["text", null]] {
			profiles := documents.changed(data.interlock.profiles, concat("/", ["standard/pipeline", path]), wrong)
			count(credentials.deny) > 0 with input as examples.pipeline with data.interlock.profiles as profiles
		}
	}
	every profiles in documents.profiles_without("standard/pipeline/plain_names") {
		count(credentials.deny) > 0 with input as setting("pad_token", "plain") with data.interlock.profiles as profiles
	}
	every profiles in documents.profiles_without("standard/pipeline/credentials") {
		count(credentials.deny) > 0 with input as setting("token", "plain") with data.interlock.profiles as profiles
	}
}

test_a_profile_cannot_call_the_value_of_a_password_harmless if {
	profiles := documents.changed(data.interlock.profiles, "standard/pipeline/harmless_shapes", ["plain", "jwt"])
	count(credentials.deny) == 1 with input as setting("password", "jwt") with data.interlock.profiles as profiles
	count(credentials.deny) == 1 with input as setting("password", "empty") with data.interlock.profiles as profiles
}
