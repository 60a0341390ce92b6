"""Reading other libraries' files."""

from fastnet.interop.torch_weights import load_torch

__all__ = ["load_torch"]
