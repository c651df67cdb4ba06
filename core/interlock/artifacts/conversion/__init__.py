"""Model files to safetensors: converted in the sandbox, and written only if every tensor is proven the same."""

from interlock.artifacts.conversion.converted import Converted, ProvenTensor
from interlock.artifacts.conversion.run import Converter

__all__ = ["Converted", "Converter", "ProvenTensor"]
