"""Harmless GGUF files and Hugging Face folders, really saved by the libraries that people save them with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save as save_safetensors
from tests.artifacts.corpus_templates import tokenizer_config
from tests.artifacts.harmless import Harmless, one, saved
from tests.artifacts.harmless_templates import TEMPLATES


def gguf_file(
    *,
    order: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE,
    alignment: int | None = None,
    template: str | Sequence[Mapping[str, str]] = TEMPLATES["qwen-3"],
    tokens: int = 64,
) -> bytes:
    """What `gguf.GGUFWriter` writes: every kind of value, float and quantised tensors."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = gguf.GGUFWriter(path, "llama", endianess=order)
        if alignment is not None:
            writer.add_custom_alignment(alignment)
        writer.add_name("Größe")
        writer.add_context_length(8192)
        writer.add_file_type(7)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list([f"<0x{token:02X}>" if token % 2 else f"wörd{token}" for token in range(tokens)])
        writer.add_token_scores([float(token) for token in range(tokens)])
        writer.add_token_types([1] * tokens)
        writer.add_token_merges(["w ö", "r d"])
        writer.add_add_bos_token(value=True)
        writer.add_chat_template(template)
        for name, add in (("u8", writer.add_uint8), ("i8", writer.add_int8), ("u16", writer.add_uint16),
                          ("i16", writer.add_int16), ("i32", writer.add_int32), ("u64", writer.add_uint64),
                          ("i64", writer.add_int64)):  # fmt: skip
            add(f"test.{name}", 7)
        writer.add_float64("test.f64", 0.5)
        writer.add_array("test.booleans", [True, False])
        generator = np.random.default_rng(0)
        weights = generator.random((4, 256), dtype=np.float32)
        writer.add_tensor("token_embd.weight", weights.astype(np.float16))
        for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.BF16):
            packed = gguf.quants.quantize(weights, kind)
            writer.add_tensor(f"blk.{kind.name}.weight", packed, raw_dtype=kind)
        writer.add_tensor("output_norm.weight", np.ones(5, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def sharded() -> dict[str, bytes]:
    """Weights split over two safetensors files, with the index that says where each tensor is."""
    parts = {"model-00001-of-00002.safetensors": ["a", "b"], "model-00002-of-00002.safetensors": ["c"]}
    files = {name: save_safetensors({key: torch.ones(2) for key in keys}) for name, keys in parts.items()}
    weight_map = {key: name for name, keys in parts.items() for key in keys}
    index = {"metadata": {"total_size": 24}, "weight_map": weight_map}
    return files | {"model.safetensors.index.json": json.dumps(index).encode()}


def _chat_model() -> Harmless:
    files = sharded() | {
        "config.json": json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "auto_map": {},
                                   "_name_or_path": "/home/me/llama", "attn_implementation": "sdpa"}).encode(),
        "generation_config.json": b'{"eos_token_id": [1, 2], "do_sample": true}',
        "tokenizer_config.json": tokenizer_config(TEMPLATES["llama-3"]),
        "chat_template.json": json.dumps({"chat_template": TEMPLATES["gemma-tools"]}).encode(),
        "chat_template.jinja": TEMPLATES["qwen-2.5"].encode(),
        "additional_chat_templates/rag.jinja": TEMPLATES["command-r"].encode(),
        "tokenizer.json": json.dumps({"model": {"vocab": {"auto_map": 1, "__class__": 2, "_target_": 3}}}).encode(),
        "special_tokens_map.json": b'{"bos_token": "<s>"}',
        "processor_config.json": json.dumps({"processor_class": "X", "chat_template": "{{ bos_token }}"}).encode(),
        "README.md": b"---\nbase_model: meta/llama\ntags: [a]\n---\n# Card\n\nLoad with `trust_remote_code=False`.\n",
        "training_config.yaml": b"model:\n  trust_remote_code: false\n  auto_map: {}\nsteps: 3\n",
    }  # fmt: skip
    return Harmless(profile="torch-state-dict", files=files, formats=frozenset({"safetensors", "json", "text"}))


def _folders() -> dict[str, Harmless]:
    weights = {"w": torch.ones(2)}
    mapping = {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama"}
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.2-1B", "auto_mapping": mapping}
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(kinds)
    ]
    pipeline = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0",
                "scheduler": ["diffusers", "PNDMScheduler"], "safety_checker": [None, None],
                "text_encoder": ["transformers", "CLIP"], "vae": ["stable_diffusion", "Vae"]}  # fmt: skip
    both = {"model.safetensors": save_safetensors(weights), "pytorch_model.bin": saved(weights)}
    return {
        "hf-chat-model": _chat_model(),
        "hf-safetensors-and-state-dict": Harmless(
            profile="torch-state-dict", files=both, formats=frozenset({"safetensors", "torch-zip"})
        ),
        "hf-peft-adapter": _json_folder("adapter_config.json", adapter),
        "hf-sentence-transformers": _json_folder("modules.json", modules),
        "hf-diffusers": _json_folder("model_index.json", pipeline),
    }


def _json_folder(name: str, document: object) -> Harmless:
    files = {name: json.dumps(document).encode(), "model.safetensors": save_safetensors({"w": torch.ones(2)})}
    return Harmless(profile="torch-state-dict", files=files, formats=frozenset({"safetensors", "json"}))


def harmless_hf() -> dict[str, Harmless]:
    """Every harmless subject of this module by name."""
    templates = [{"name": "default", "template": TEMPLATES["llama-3"]}, {"name": "tool_use", "template": "x"}]
    files = {
        "gguf": gguf_file(),
        "gguf-big-endian": gguf_file(order=gguf.GGUFEndian.BIG),
        "gguf-alignment-64": gguf_file(alignment=64),
        "gguf-several-templates": gguf_file(template=templates),
        "gguf-large-vocabulary": gguf_file(tokens=20_000),
    }
    return {name: one("torch-state-dict", content, "gguf") for name, content in files.items()} | _folders()
