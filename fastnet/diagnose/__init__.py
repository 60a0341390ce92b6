"""Diagnostics: checks before and during training, statistics of layers, fingerprints of results, and profiles."""

from __future__ import annotations

from fastnet.diagnose import machine
from fastnet.diagnose.fingerprint import Fingerprint, fingerprint, variants
from fastnet.diagnose.gradient_check import gradcheck
from fastnet.diagnose.gradient_report import GradientCheck
from fastnet.diagnose.live import LiveDiagnosis
from fastnet.diagnose.lr_range import RangeTest, lr_range_test
from fastnet.diagnose.profile import profile
from fastnet.diagnose.report import Profile, Row
from fastnet.diagnose.roofline import Roof, measure_roof
from fastnet.diagnose.sanity import sanity_check
from fastnet.diagnose.sanity_report import SanityCheck
from fastnet.diagnose.statistics import Statistics, activation_statistics, gradient_statistics
from fastnet.diagnose.update_ratios import UpdateRatios

__all__ = [
    "Fingerprint",
    "GradientCheck",
    "LiveDiagnosis",
    "Profile",
    "RangeTest",
    "Roof",
    "Row",
    "SanityCheck",
    "Statistics",
    "UpdateRatios",
    "activation_statistics",
    "fingerprint",
    "gradcheck",
    "gradient_statistics",
    "lr_range_test",
    "machine",
    "measure_roof",
    "profile",
    "sanity_check",
    "variants",
]
