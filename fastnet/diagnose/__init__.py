"""Diagnostics: bit-identical results (fingerprints), and where the time goes (profiles)."""

from __future__ import annotations

from fastnet.diagnose import machine
from fastnet.diagnose.fingerprint import Fingerprint, fingerprint, variants
from fastnet.diagnose.profile import profile
from fastnet.diagnose.report import Profile, Row
from fastnet.diagnose.roofline import Roof, measure_roof

__all__ = [
    "Fingerprint",
    "Profile",
    "Roof",
    "Row",
    "fingerprint",
    "machine",
    "measure_roof",
    "profile",
    "variants",
]
