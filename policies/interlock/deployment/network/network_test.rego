# METADATA
# title: Tests of network policies
package interlock.deployment.network_test

import data.interlock.deployment.examples_test as examples
import data.interlock.deployment.network
import data.interlock.kubernetes.examples_test as cluster

held(policies, manifest) := {direction |
	some direction in ["Ingress", "Egress"]

	# regal ignore:with-outside-test-context
	network.held(manifest, direction) with input as {"requested": {"manifests": policies}}
}

both := {"Ingress", "Egress"}

policy(patch) := json.patch(examples.network_policy, [object.union({"op": "add"}, patch)])

test_the_example_holds_its_pod if held([examples.pod, examples.network_policy], examples.pod) == both

test_a_policy_for_everybody_holds_too if {
	every selector in [{}, {"matchLabels": {}}] {
		held([policy({"path": "spec/podSelector", "value": selector})], examples.pod) == both
	}
}

test_a_policy_that_forbids_all_holds if {
	nothing := json.remove(examples.network_policy, ["spec/ingress", "spec/egress"])
	held([nothing], examples.pod) == both
}

test_no_policy_holds_nothing if {
	held([], examples.pod) == set()
	held([examples.pod], examples.pod) == set()
}

test_a_policy_for_others_holds_nothing if {
	every patch in [
		{"path": "spec/podSelector/matchLabels", "value": {"app": "other"}},
		{"path": "spec/podSelector/matchLabels", "value": {"app": "it", "tier": "web"}},
		{"path": "metadata/namespace", "value": "other"},
		{"path": "metadata", "value": {"name": "it"}},
		{"path": "apiVersion", "value": "evil.example/v1"},
		{"path": "kind", "value": "Policy"},
		{"path": "spec/podSelector/matchExpressions", "value": [{"key": "app", "operator": "Exists"}]},
		{"path": "spec", "value": {}},
		{"path": "spec", "value": null},
		{"path": "spec/podSelector", "value": null},
	] {
		held([policy(patch)], examples.pod) == set()
	}
}

test_a_direction_that_is_open_is_not_held if {
	every rule in [
		{},
		{"ports": [{"port": 80}]},
		{"from": []},
		{"from": [{}]},
		{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
		{"from": [{"ipBlock": {"cidr": "::/0"}}]},
		{"from": [{"ipBlock": {"cidr": "0.0.0.0/00"}}]},
		{"from": [{"ipBlock": {"cidr": "0.0.0.0/0 "}}]},
		{"from": [{"ipBlock": {"cidr": "0.0.0.0/1"}}, {"ipBlock": {"cidr": "128.0.0.0/1"}}]},
		{"from": [{"ipBlock": {"cidr": null}}]},
		{"from": [{"ipBlock": {}}]},
		{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.1.0.0/16"}}]},
		{"from": [{"podSelector": null}]},
		{"from": [{"podSelector": 5}]},
		{"from": [{"podSelector": []}]},
		{"from": [{"podSelector": {"matchLabels": "zz"}}]},
		{"from": [{"podSelector": {"matchLabels": {"app": 5}}}]},
		{"from": [{"podSelector": {"app": "gateway"}}]},
		{"from": [{"namespaceSelector": null, "podSelector": {}}]},
		{"from": [{"podSelektor": {}}]},
		{"from": [null]},
		{"from": "all"},
		null,
	] {
		held([policy({"path": "spec/ingress/-", "value": rule})], examples.pod) == {"Egress"}
	}
	held([policy({"path": "spec/ingress", "value": {}})], examples.pod) == {"Egress"}
	held([policy({"path": "spec/egress/-", "value": {}})], examples.pod) == {"Ingress"}
}

test_one_open_policy_opens_what_others_hold if {
	every selector in [{}, null, {"matchExpressions": [{"key": "app", "operator": "Exists"}]}] {
		open := json.patch(examples.network_policy, [
			{"op": "add", "path": "spec/podSelector", "value": selector},
			{"op": "add", "path": "spec/ingress", "value": [{}]},
		])
		held([examples.network_policy, open], examples.pod) == {"Egress"}
	}
}

unreadable_selectors := [
	null,
	5,
	"zz",
	[],
	{"matchLabels": null},
	{"matchLabels": "zz"},
	{"matchLabels": ["app"]},
	{"matchLabels": {"app": 5}},
	{"matchLabels": {"app": "it"}, "matchExpressions": null},
	{"matchLabels": {"app": "it"}, "matchExpressions": {}},
	{"matchLabels": {"app": "it"}, "more": {}},
]

test_a_selector_that_cannot_be_read_holds_nothing if {
	every selector in unreadable_selectors {
		held([policy({"path": "spec/podSelector", "value": selector})], examples.pod) == set()
	}
}

test_a_selector_that_cannot_be_read_may_open if {
	every selector in unreadable_selectors {
		open := json.patch(examples.network_policy, [
			{"op": "add", "path": "spec/podSelector", "value": selector},
			{"op": "add", "path": "spec/ingress", "value": [{}]},
		])
		held([examples.network_policy, open], examples.pod) == {"Egress"}
	}
}

test_directions_that_cannot_be_read_hold_nothing if {
	every types in [null, 5, true, "zz", "Ingress", {}, {"a": "Ingress"}, ["zz"], [5], ["Ingress", null]] {
		wrong := policy({"path": "spec/policyTypes", "value": types})
		held([wrong], examples.pod) == set()
		held([examples.network_policy, wrong], examples.pod) == set()
	}
}

test_only_a_policy_that_names_another_namespace_opens_nothing_here if {
	every namespace in ["", null, 5, ["ml"]] {
		open := json.patch(examples.network_policy, [
			{"op": "add", "path": "metadata/namespace", "value": namespace},
			{"op": "add", "path": "spec/ingress", "value": [{}]},
		])
		held([examples.network_policy, open], examples.pod) == {"Egress"}
	}
	elsewhere := json.patch(examples.network_policy, [
		{"op": "add", "path": "metadata/namespace", "value": "other"},
		{"op": "add", "path": "spec/ingress", "value": [{}]},
	])
	held([examples.network_policy, elsewhere], examples.pod) == both
}

test_directions_are_read_as_kubernetes_does if {
	bare := json.remove(examples.network_policy, ["spec/policyTypes", "spec/egress"])
	held([bare], examples.pod) == {"Ingress"}
	held([json.remove(examples.network_policy, ["spec/policyTypes"])], examples.pod) == both
	held([policy({"path": "spec/policyTypes", "value": []})], examples.pod) == both
	held([policy({"path": "spec/policyTypes", "value": ["Egress"]})], examples.pod) == {"Egress"}
}

test_an_inference_service_is_held_by_its_label if {
	selector := {"matchLabels": {"serving.kserve.io/inferenceservice": "it"}}
	by_name := json.remove(policy({"path": "spec/podSelector", "value": selector}), ["metadata/namespace"])
	held([by_name], cluster.inference_service) == both
}
