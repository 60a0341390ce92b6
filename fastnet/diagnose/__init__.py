"""Diagnostics: gradient checks, bit-identical results (fingerprints), and where the time goes (profiles)."""

from __future__ import annotations

from fastnet.diagnose import machine
from fastnet.diagnose.fingerprint import Fingerprint, fingerprint, variants
from fastnet.diagnose.gradient_check import gradcheck
from fastnet.diagnose.gradient_report import GradientCheck
from fastnet.diagnose.profile import profile
from fastnet.diagnose.report import Profile, Row
from fastnet.diagnose.roofline import Roof, measure_roof
from fastnet.diagnose.statistics import Statistics, activation_statistics, gradient_statistics

__all__ = [
    "Fingerprint",
    "GradientCheck",
    "Profile",
    "Roof",
    "Row",
    "Statistics",
    "activation_statistics",
    "fingerprint",
    "gradcheck",
    "gradient_statistics",
    "machine",
    "measure_roof",
    "profile",
    "variants",
]
