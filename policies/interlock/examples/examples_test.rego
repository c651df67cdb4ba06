# METADATA
# title: Input documents that are allowed, and ways to spoil them
# description: The tests of all rules start from these. Python's tests read them through the engine too.
package interlock.examples_test

digest := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

now := "2026-11-23T12:00:00.000000Z"

report(gate, measures, findings) := {
	"gate": gate,
	"subject": {"name": "train.parquet", "uri": "file:///lake/train.parquet", "digest": {"sha256": digest}},
	"tools": [{"name": "tool", "version": "1.0"}],
	"configuration": {},
	"started": "2026-11-23T11:59:58.000000Z",
	"finished": "2026-11-23T11:59:59.000000Z",
	"findings": findings,
	"measures": {name: {"value": value, "unit": ""} | some name, value in measures},
	"coverage": {"looked_at": ["train.parquet"], "skipped": [], "failed": []},
}

document(stage, gate, measures, findings, receipts, requested) := {
	"gate": gate,
	"profile": "standard",
	"stage": stage,
	"subject": {"name": "train.parquet", "uri": "file:///lake/train.parquet", "digest": {"sha256": digest}},
	"report": report(gate, measures, findings),
	"run": {
		"orchestrator": "airflow",
		"pipeline": "retrain",
		"run_id": "manual__1",
		"task_id": "step",
		"attempt": 1,
		"map_index": -1,
	},
	"receipts": receipts,
	"requested": requested,
	"now": now,
}

finding(rule_id, level, evidence) := {
	"rule_id": rule_id,
	"level": level,
	"message": "seen",
	"location": {"path": "", "row": null, "column": "", "offset": null},
	"evidence": evidence,
}

receipt(gate) := {
	"gate": gate,
	"verdict": "ALLOW",
	"profile": "standard",
	"issued": "2026-11-23T11:00:00.000000Z",
	"expires": "2026-11-24T11:00:00.000000Z",
	"keyid": "2f8c",
	"dev": false,
	"same_run": true,
	"same_pipeline": true,
	"bundle_known": true,
	"exemptions": [],
}

validation := document(
	"gate",
	"data-validation",
	{
		"rows": 50000,
		"expectations_evaluated": 12,
		"expectations_failed": 0,
		"expectations_errored": 0,
		"required_missing": 0,
	},
	[], [], {},
)

poisoning := document(
	"gate",
	"data-poisoning",
	{
		"rows": 50000,
		"flagged_rows": 3,
		"flagged_fraction": 0.00006,
		"strongest": 0.1,
		"detectors_run": 2,
		"detectors_skipped": 0,
	},
	[finding("data-poisoning.row", "warning", "{}")], [], {},
)

artifact := document(
	"gate",
	"artifact-scan",
	{
		"files": 1,
		"bytes": 1000,
		"unsafe_globals": 0,
		"opcodes": 0,
		"nan_tensors": 0,
		"infinite_tensors": 0,
		"absurd_tensors": 0,
		"unread_tensors": 0,
		"unread_files": 0,
		"hidden_bytes": 0,
	},
	[finding("artifact-scan.format", "note", `{"format": "safetensors"}`)], [], {},
)

finished_training := document(
	"gate",
	"training",
	{"seconds": 61.5, "exit_status": 0, "isolation_rank": 3, "output_bytes": 1000},
	[], [], {"isolation": "bwrap"},
)

training_guard := document(
	"guard",
	"training",
	{"receipts_found": 2, "receipts_accepted": 2, "receipts_missing": 0},
	[], [receipt("data-validation"), receipt("data-poisoning")], {},
)

deployment_guard := object.union(
	document(
		"guard",
		"deployment",
		{"receipts_found": 2, "receipts_accepted": 2, "receipts_missing": 0},
		[], [receipt("artifact-scan"), receipt("training")], {},
	),
	{"lineage": [{
		"role": "data",
		"subject": {"name": "train.parquet", "uri": "file:///lake/train.parquet", "digest": {"sha256": digest}},
		"receipts": [receipt("data-validation"), receipt("data-poisoning")],
	}]},
)

evaluated := object.union(
	document(
		"gate",
		"model-probe",
		{"rows": 360, "uses": 3, "accuracy": 0.97, "macro_f1": 0.97, "worst_class_recall": 0.9},
		[finding("model-probe.evaluated", "note", "")], [], {},
	),
	{"report": {"facts": {"evaluation": {
		"name": "digits",
		"digest": {"sha256": digest},
		"rows": 360,
		"label": "label",
		"slices": ["scanner"],
		"shown": ["pixel_0", "pixel_1"],
		"task": "classification",
		"isolation": "bwrap",
		"seen_in_training": false,
		"accepted": {
			"name": "model",
			"digest": {"sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"},
			"receipt_id": "01JDC8T2V0000000000000000A",
			"issued": "2026-11-22T12:00:00.000000Z",
			"compared": true,
			"reason": "",
			"lost": null,
		},
		"groups": [
			group("overall", "accuracy", "accuracy", 360),
			group("overall", "macro_f1", "macro_f1", 360),
			group("class", "3", "recall", 180),
			group("class", "8", "recall", 180),
			group("slice", "scanner=a", "accuracy", 360),
		],
	}}}},
)

group(kind, name, metric, rows) := {
	"kind": kind,
	"name": name,
	"metric": metric,
	"rows": rows,
	"value": 0.97,
	"accepted": 0.97,
	"drop": 0.001,
	"low": -0.01,
	"high": 0.01,
	"p": 0.5,
}

evaluations := {"digits": {
	"pipelines": ["retrain"],
	"digest": digest,
	"label": "label",
	"task": "classification",
	"slices": ["scanner"],
	"until": "2027-06-01T00:00:00Z",
}}

allowed := {
	"validation": validation,
	"poisoning": poisoning,
	"artifact": artifact,
	"finished_training": finished_training,
	"training_guard": training_guard,
	"deployment_guard": deployment_guard,
}

with_profile(name) := {key: object.union(example, {"profile": name}) | some key, example in allowed}

with_facts(example, facts) := object.union(example, {"profile": "strict", "report": {"facts": facts}})

with_measures(example, measures) := object.union(example, {
	"profile": "strict",
	"report": {"measures": {name: {"value": value, "unit": ""} | some name, value in measures}},
})

gpu := {
	"uuid": "GPU-5a7c",
	"mig": true,
	"mps": false,
	"compute_mode": "DEFAULT",
	"ecc_uncorrected": 0,
	"retired_pages": 0,
	"foreign_processes": 0,
	"driver": "580.05.08",
	"confidential": true,
	"name": "NVIDIA H100 80GB HBM3",
	"index": 0,
	"pci": "00000000:1B:00.0",
	"persistence": true,
	"memory_bytes": 85520809984,
	"memory_free_bytes": 85520809984,
	"ecc": true,
	"ecc_corrected": 0,
	"ecc_corrected_ever": 0,
	"ecc_uncorrected_ever": 0,
	"repair_pending": false,
	"repair_failed": false,
	"vbios": "96.00.89.00.01",
	"unknown": [],
}

scrub := {"done": true, "devices": 1, "scrubbed_bytes": 79000000000, "free_bytes": 80000000000, "problem": ""}

gpus := {
	"devices": [gpu],
	"recorded": false,
	"toolkit": "1.18.0",
	"scrub": {"before": scrub},
	"attestation": {"verified": true, "problems": [], "devices": [{"name": "GPU-0", "ueid": "4781"}]},
}

strict_guard(example) := object.union(example, {"receipts": [object.union(one, {
	"profile": "strict",
	"issued": "2026-11-23T11:30:00.000000Z",
}) |
	some one in example.receipts
]})

# The same with every fact that a gate can establish, under the strict profile.
complete := {
	"validation": with_facts(validation, {"dataset": {
		"card": "croissant.json",
		"sources": ["s3://lake/raw/"],
		"licences": ["CC-BY-4.0", "MIT"],
		"pii": "none",
		"region": "eu-central-1",
	}}),
	"poisoning": with_measures(poisoning, {
		"classes": 10,
		"smallest_class_rows": 4800,
		"smallest_class_fraction": 0.096,
		"unlabelled_rows": 0,
		"knn_flagged_rows": 3,
		"knn_strength": 0.1,
		"pattern_flagged_rows": 0,
		"pattern_strength": 0,
		"drift": 0.2,
		"feature_drift": 0.12,
		"label_drift": 0.01,
		"distribution_drift": 0.002,
		"new_source_fraction": 0.004,
	}),
	"artifact": object.union(
		with_measures(
			with_facts(artifact, {"model": {
				"signature": {"verified": true, "signer": "release"},
				"provenance": {"verified": true, "builder": "https://ci.example/builder"},
				"base_models": ["hub://acme/base@sha256:1f2e"],
				"bom": {"format": "CycloneDX", "version": "1.6"},
			}}),
			{
				"secrets": 0,
				"personal_data": 0,
				"changed_tensors": 4,
				"added_tensors": 0,
				"removed_tensors": 0,
				"largest_change": 0.05,
			},
		),
		{"report": {"configuration": {"profile": "torch-state-dict"}}},
	),
	"evaluation": with_measures(evaluated, {"overlap_fraction": 0, "overlap_rows": 0}),
	"finished_training": object.union(
		with_measures(
			with_facts(finished_training, {
				"training": {"deterministic": true, "no_pickles": true, "resumed_from": digest},
				"gpu": object.union(gpus, {"scrub": {"after": scrub}}),
			}),
			{"epsilon": 3, "dataset_epsilon": 7, "gpu_hours": 4, "energy_kwh": 2, "money": 9},
		),
		{"requested": {
			"isolation": "bwrap",
			"gpus": 1,
			"team": "fraud",
			"budget": {"gpu_hours": 5, "energy_kwh": 4, "money": 20},
		}},
	),
	"training_guard": object.union(
		with_measures(
			with_facts(strict_guard(training_guard), {"gpu": gpus}),
			{"dataset_epsilon": 7, "month_gpu_hours": 90, "month_energy_kwh": 50, "month_money": 300},
		),
		{"requested": {
			"epsilon": 3,
			"image": sprintf("registry.example/fraud/train@sha256:%s", [digest]),
			"gpus": 1,
			"confidential": true,
			"team": "fraud",
			"budget": {"gpu_hours": 5, "energy_kwh": 4, "money": 20},
		}},
	),
	"deployment_guard": object.union(strict_guard(deployment_guard), {"profile": "strict"}),
}

budgets := {"fraud": {"pipelines": ["retrain"], "gpu_hours": 100, "energy_kwh": "any", "money": 400}}

strictly(path, value) := changed(data.interlock.profiles, sprintf("strict/%s", [path]), value)

# The value at a path like "report/measures/rows/value".
at(root, path) := object.get(root, [key(part) | some part in split(path, "/")], null)

key(part) := to_number(part) if {
	regex.match(`^[0-9]+$`, part)
} else := part

# Everything that must not be taken for the value at `path`: nothing, null, and values of all other types. Empty
# objects are among them, because `every x in {}` holds.
spoiled(root, path) := {json.remove(root, [path])} | {changed(root, path, wrong) |
	some wrong in [null, true, false, 0, 7, "", "text", "0", [], ["text"], {}, {"text": 1}]
	type_name(wrong) != type_name(at(root, path))
}

changed(root, path, value) := json.patch(root, [{"op": "replace", "path": path, "value": value}])

profiles_without(path) := spoiled(data.interlock.profiles, path)

test_paths_reach_their_value if {
	at(validation, "report/measures/rows/value") == 50000
	at(training_guard, "receipts/1/gate") == "data-poisoning"
	count(spoiled(validation, "gate")) > 8
}
