"""Looking at what runs: the same bits everywhere, and where the time goes."""

from __future__ import annotations

from fastnet.diagnose import machine
from fastnet.diagnose.fingerprint import Fingerprint, fingerprint, variants

__all__ = ["Fingerprint", "machine", "fingerprint", "variants"]
