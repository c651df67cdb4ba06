# METADATA
# title: What is deployed keeps to the standard of the cluster
# description: |-
#   The Kubernetes objects that the deployment is going to create, judged before they are: pod security, a network
#   policy for every pod, images whose receipts were seen, and no other model than the one that the guard holds.
# schemas:
#   - input: schema.decision_input
package interlock.deployment.manifests

import data.interlock.deployment.guard
import data.interlock.deployment.network
import data.interlock.facts
import data.interlock.kubernetes.claims
import data.interlock.kubernetes.images
import data.interlock.kubernetes.restricted
import data.interlock.kubernetes.workloads

# METADATA
# title: Which reports this rule judges
# description: Guards of deployments.
applies if guard.applies

# METADATA
# title: The objects
# description: |-
#   Undefined unless all can be read. A list of objects has labels and a namespace of its own, which are not those of
#   what it holds, so it is none.
objects := input.requested.manifests if {
	is_array(input.requested.manifests)
	count(input.requested.manifests) > 0
	every manifest in input.requested.manifests {
		workloads.kind(manifest)
		endswith(manifest.kind, "List") == false
		is_object(manifest.metadata)
	}
}

# METADATA
# title: The objects are declared, or need not be
# description: Undefined unless they can be read, or the profile lets them be absent and they are.
# scope: document
declared if objects

declared if guard.omitted("manifests")

# METADATA
# title: The objects are not declared
# description: Nothing can be said of what is going to run.
# custom:
#   id: deployment.manifests
#   severity: high
#   remediation: Give the deployment the rendered Kubernetes objects (requested.manifests), each with kind and metadata
#   controls:
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not declared
	message := sprintf("no list of Kubernetes objects can be read in requested.manifests; profile %s asks for it", [
		facts.shown_profile,
	])
}

# METADATA
# title: A pod is not restricted
# description: One reason for each thing that is wrong.
# custom:
#   id: deployment.pod-security
#   severity: high
#   remediation: Set the named field; the Pod Security Standards' profile restricted says what each is for
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0105}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0055}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM03:2026"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM06:2025"}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
#     - {framework: ISO/IEC 42001, version: "2023", id: A.6.2.5}
#     - {framework: Kubernetes Pod Security Standards, version: "1.34", id: restricted}
#     - {framework: NSA/CISA Kubernetes Hardening, version: "1.2", id: Pod security}
#     - {framework: NSA/CISA Kubernetes Hardening, version: "1.2", id: Authentication and authorization}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some manifest in objects
	some problem in restricted.problems(manifest)
	message := sprintf("%s: %s", [shown(manifest), problem])
}

# METADATA
# title: No network policy holds a pod
# description: None selects it, or one that does lets everybody through.
# custom:
#   id: deployment.network-policy
#   severity: high
#   remediation: Add a NetworkPolicy for the pod's labels in both directions that names who may talk to it
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0025}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0072}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM02:2026"}
#     - {framework: NIST AI 100-2, version: e2025, id: NISTAML.039}
#     - {framework: NIST AI RMF, version: "1.0", id: MEASURE 2.7}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM02:2025"}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15(5)}
#     - {framework: NSA/CISA Kubernetes Hardening, version: "1.2", id: Network separation}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some manifest in objects
	runs(manifest)
	some direction in ["Ingress", "Egress"]
	not spared(direction)
	not network.held(manifest, direction)
	message := sprintf("%s: no network policy holds its pods for %s", [shown(manifest), direction])
}

# METADATA
# title: An image without receipts
# description: Its digest is none of those whose receipts were looked at.
# custom:
#   id: deployment.manifest-image
#   severity: high
#   remediation: Name every image of the objects to the guard, so that its receipts are looked at
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0010}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 15}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
#     - {framework: NSA/CISA Kubernetes Hardening, version: "1.2", id: Supply chain}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	not images_unasked
	some manifest in objects
	some [path, "image", image] in workloads.fields(manifest)
	not known(image)
	message := sprintf("%s: %s: no receipts were looked at for %s", [
		shown(manifest),
		workloads.place(path),
		images.shown(image),
	])
}

# METADATA
# title: An object is annotated for another model
# description: The cluster would admit it by a receipt that is not this deployment's.
# custom:
#   id: deployment.manifest-subject
#   severity: critical
#   remediation: Annotate the object with the digest of the model that is deployed, or leave that to the deployment
#   controls:
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.T0109}
#     - {framework: MITRE ATLAS, version: 5.6.1, id: AML.M0014}
#     - {framework: OWASP LLM Top 10, version: "2026", id: "LLM04:2026"}
#     - {framework: EU AI Act, version: 2024/1689, id: Art. 12}
#     - {framework: OWASP LLM Top 10, version: "2025", id: "LLM03:2025"}
deny contains facts.reason(rego.metadata.rule(), message) if {
	applies
	some manifest in objects
	subject := workloads.annotations(manifest)[claims.annotations.subject]
	not this_model(subject)
	message := sprintf("%s is annotated for %s", [shown(manifest), images.shown(subject)])
}

# METADATA
# title: Whether an object runs pods
# description: By its own specification, or through the controller of its kind.
# scope: document
runs(manifest) if count(workloads.specs(manifest)) > 0

runs(manifest) if {
	workloads.kind(manifest) in {"serving.kserve.io/InferenceService", "trainer.kubeflow.org/TrainJob"}
}

# METADATA
# title: Whether the profile asks for no policy in a direction
# description: Undefined unless its list can be read and leaves the direction out.
spared(direction) if {
	asked := facts.names("deployment", "network_policy")
	not direction in asked
}

# METADATA
# title: Whether the profile asks for no receipts of images
# description: Undefined unless it says so.
images_unasked if count(guard.required_of("image")) == 0

# METADATA
# title: Whether the receipts of an image were looked at
# description: Undefined unless it is pinned by a digest in the lineage.
known(image) if images.parts(image).digest in guard.digests("image")

# METADATA
# title: Whether a digest is that of what is deployed
# description: Undefined for every other.
this_model(subject) if subject == input.subject.digest.sha256

# METADATA
# title: An object as text
# description: Always defined.
shown(manifest) := sprintf("%v %v", [
	object.get(manifest, "kind", "object"),
	object.get(manifest, ["metadata", "name"], "(unnamed)"),
])
