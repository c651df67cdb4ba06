"""Hostile Hugging Face folders: configuration that names code or leaves the folder, and files that disagree."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from tests.artifacts.corpus import Hostile, called, one, safetensors


def _json(name: str, document: object, rule: str) -> Hostile:
    return one(f"hf-{name}", json.dumps(document).encode(), rule)


def _yaml(name: str, text: str, rule: str) -> Hostile:
    return one(f"hf-yaml-{name}", text.encode(), rule)


def configurations() -> list[Hostile]:
    """One way each for a configuration to name code, or something outside of its folder."""
    code, remote, outside = "code-reference", "remote-code", "outside-path"
    module = {"idx": 0, "name": "0", "path": "", "type": "os.system"}
    adapter = {"peft_type": "LORA", "auto_mapping": {"base_model_class": "system", "parent_library": "os"}}
    return [
        _json("cve-2026-4372-attention", {"_attn_implementation_internal": "evil/kernel"}, remote),
        _json("attention-by-its-public-name", {"attn_implementation": "evil/kernel:fn"}, remote),
        _json("attention-of-a-part", {"_attn_implementation": {"vision": "evil/kernel"}}, remote),
        _json("cve-2026-5241-nested-trust", {"keypoint_detector_config": {"trust_remote_code": True}}, remote),
        _json("trust-as-a-text", {"trust_remote_code": "yes"}, remote),
        _json("auto-map-as-a-list", {"auto_map": ["tokenizer.T", None]}, remote),
        _json("auto-map-of-another-repository", {"auto_map": {"AutoModel": "evil/repo--m.M"}}, remote),
        _json("auto-map-in-a-list", [[{"auto_map": {"AutoModel": "m.M"}}]], remote),
        _json("custom-pipeline", {"custom_pipeline": "evil/pipeline"}, remote),
        _json("custom-generate", {"custom_generate": "evil/generate"}, remote),
        _json("cve-2025-23304-hydra-target", {"model": {"_target_": "os.system", "_args_": ["true"]}}, code),
        _json("hydra-target-of-a-known-library", {"_target_": "torch.hub.load"}, code),
        _json("jsonpickle-object", {"py/object": "os.system"}, code),
        _json("jsonpickle-reduce", {"a": [{"py/reduce": [{"py/function": "os.system"}, ["true"]]}]}, code),
        _json("jsonpickle-repr", {"py/repr": "os/os.system('true')"}, code),
        _json("class-of-an-object", {"x": {"__class__": "os.system"}}, code),
        _json("module-of-an-object", {"x": {"__module__": "os"}}, code),
        _json("stable-baselines3-data", {"policy_class": {":type:": "x", ":serialized:": "gASVLg=="}}, code),
        _json("sentence-transformers-module", [module], code),
        _json("sentence-transformers-path", [module | {"type": "sentence_transformers.models.X", "path": "../x"}],
              outside),
        _json("peft-parent-library", adapter, code),
        _json("diffusers-pipeline-file", {"_class_name": ["my_pipeline", "Pipe"]}, code),
        _json("diffusers-component-file", {"_class_name": "P", "unet": ["unet/my_unet", "Unet"]}, code),
        _json("peft-base-model-path", {"base_model_name_or_path": "/tmp/base"}, outside),
        _json("peft-base-model-above", {"base_model_name_or_path": "../base"}, outside),
        _json("peft-base-model-url", {"base_model_name_or_path": "https://evil.example/base"}, outside),
        _json("peft-tokenizer-path", {"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": "~/x"}, outside),
        _json("tokenizer-file", {"tokenizer_file": "/etc/passwd"}, outside),
        _json("tokenizer-vocabulary-url", {"vocab_file": "http://evil.example/vocab"}, outside),
        _json("tokenizer-vocabulary-file-url", {"vocab_file": "file:///etc/passwd"}, outside),
        _json("tokenizer-merges-above", {"merges_file": "a/../../x"}, outside),
        _json("tokenizer-windows-path", {"spm_file": "C:\\x"}, outside),
        _json("tokenizer-share", {"source_spm": "\\\\evil\\x"}, outside),
        one("hf-target-twice", b'{"_target_": "os.system", "_target_": null}', code),
        one("hf-weight-map-twice", b'{"weight_map": {"a": "x"}, "weight_map": {}}', "duplicate-key"),
        _yaml("cve-2025-23304-hydra", "model:\n  _target_: os.system\n  _args_: ['true']\n", code),
        _yaml("hydra-in-a-list", "- a\n- {_target_: os.system}\n", code),
        _yaml("trust", "model:\n  trust_remote_code: true\n", remote),
        _yaml("auto-map", "auto_map:\n  AutoModel: m.M\n", remote),
        _yaml("python-object", "a: !!python/object/apply:os.system ['true']\n", code),
        _yaml("python-name", "a: !!python/name:os.system\n", code),
        _yaml("python-tag-by-handle", "%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!name:os.system\n", code),
        _yaml("second-document", "a: 1\n---\n_target_: os.system\n", code),
        _yaml("front-matter", "---\n_target_: os.system\n---\n# Card\n", code),
        _yaml("quoted-key", '"_target_": os.system\n', code),
        _yaml("escaped-key", '"\\x5ftarget_": os.system\n', code),
        _yaml("folded-key", '? "_tar\\\n  get_"\n: os.system\n', code),
        _yaml("escaped-tag", "a: !!%70ython/name:os.system\n", code),
        _yaml("before-a-mistake", "---\n_target_: os.system\n---\n{ [\n", code),
        _yaml("too-long", "a: " + "z" * (1 << 20) + "\n_target_: os.system\n", ""),
        _yaml("too-deep", "_target_: os.system\na: " + "[" * 500 + "]" * 500 + "\n", ""),
    ]  # fmt: skip


def _index(weight_map: object) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": weight_map}).encode()


def _tensors(*names: str) -> bytes:
    header = {name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate(names)}
    return safetensors(header, bytes(len(names)))


def folders() -> list[Hostile]:
    """Files that are each in order, and together are not."""
    index, rule = "model.safetensors.index.json", "artifact-scan.weight-index"
    first = {"1.safetensors": _tensors("a")}
    cases: Mapping[str, tuple[Mapping[str, bytes], str]] = {
        "index-of-a-missing-shard": ({index: _index({"a": "1.safetensors", "b": "2.safetensors"}), **first}, rule),
        "index-of-a-missing-tensor": ({index: _index({"a": "1.safetensors", "b": "1.safetensors"}), **first}, rule),
        "index-above-the-folder": ({index: _index({"a": "../1.safetensors"}), **first}, "artifact-scan.outside-path"),
        "index-of-an-absolute-path": ({index: _index({"a": "/1.safetensors"}), **first}, "artifact-scan.outside-path"),
        "index-of-a-url": ({index: _index({"a": "http://evil.example/1"}), **first}, "artifact-scan.outside-path"),
        "index-that-is-a-list": ({index: _index([1]), **first}, rule),
        "index-of-numbers": ({index: _index({"a": 1}), **first}, rule),
        "index-with-a-tensor-twice": (
            {index: b'{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}', **first,
             "2.safetensors": _tensors("a")}, rule),
        "index-under-another-name": ({"x": _index({"a": "2.safetensors"}), **first}, rule),
        "index-in-a-folder": ({f"x/{index}": _index({"a": "1.safetensors"}), **first}, rule),
        "index-of-a-hostile-pickle": (
            {"pytorch_model.bin.index.json": _index({"a": "a.bin"}), "a.bin": called("os", "system")},
            "artifact-scan.unsafe-global"),
        "diffusers-python-file": (
            {"model_index.json": json.dumps({"_class_name": "P", "unet": ["my_unet", "U"]}).encode(),
             "unet/my_unet.py": b"import os\n"}, "artifact-scan.remote-code"),
        "diffusers-python-file-at-the-top": (
            {"model_index.json": json.dumps({"_class_name": "P", "unet": ["my_unet", "U"]}).encode(),
             "my_unet.py": b"import os\n"}, "artifact-scan.remote-code"),
        "custom-generate-file": ({"custom_generate/generate.py": b"def generate(**kw): pass\n"},
                                 "artifact-scan.remote-code"),
    }  # fmt: skip
    return [Hostile(name=f"hf-{name}", files=files, rule=needed) for name, (files, needed) in cases.items()]


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (configurations, folders)
