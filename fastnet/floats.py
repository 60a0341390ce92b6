"""Small floating-point formats that NumPy lacks: bfloat16 and the 8-bit formats, decoded to float32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["decode_bfloat16", "decode_float8", "FLOAT8"]


class _Format(NamedTuple):
    """Bits of exponent and mantissa, the exponent's bias, and which codes are special.

    `special` is "ieee" (the largest exponent means infinity and NaN), "fn" (only all ones is NaN; no infinity) or
    "fnuz" (like "fn", but the code of -0 is NaN, and the only one).
    """

    exponent: int
    mantissa: int
    bias: int
    special: str


# Micikevicius et al. 2022, arXiv:2209.05433; fnuz: Noune et al. 2022, arXiv:2206.02915
FLOAT8 = {
    "float8_e4m3fn": _Format(4, 3, 7, "fn"),
    "float8_e5m2": _Format(5, 2, 15, "ieee"),
    "float8_e4m3fnuz": _Format(4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": _Format(5, 2, 16, "fnuz"),
}


def decode_bfloat16(codes: np.ndarray) -> np.ndarray:
    """float32 values of uint16 codes: bfloat16 is the upper half of float32."""
    values: np.ndarray = (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def decode_float8(codes: np.ndarray, name: str) -> np.ndarray:
    """float32 values of uint8 codes in the format `name`, one of FLOAT8."""
    values: np.ndarray = _table(FLOAT8[name])[codes]
    return values


def _table(form: _Format) -> np.ndarray:
    code = np.arange(256)
    exponent, mantissa = (code & 0x7F) >> form.mantissa, code & (2**form.mantissa - 1)
    leading = (exponent > 0) * 2**form.mantissa  # subnormal numbers have no leading 1
    values = np.ldexp(leading + mantissa, np.maximum(exponent, 1) - form.bias - form.mantissa)
    values = np.where(code < 128, values, -values)
    largest = exponent == 2**form.exponent - 1
    if form.special == "ieee":
        values[largest & (mantissa == 0)] *= np.inf
        values[largest & (mantissa > 0)] = np.nan
    elif form.special == "fn":
        values[largest & (mantissa == 2**form.mantissa - 1)] = np.nan
    else:
        values[128] = np.nan
    table: np.ndarray = values.astype(np.float32)
    return table
