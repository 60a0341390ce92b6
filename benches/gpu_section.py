"""A section of gpu_check.py in a process of its own: python benches/gpu_section.py NAME SETTINGS."""

from __future__ import annotations

import importlib
import json
import os
import sys

import gpu_rows


def main() -> None:
    name, settings = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    for row in importlib.import_module(f"gpu_{name}").rows(gpu_rows.Settings(**json.loads(settings))):
        print(json.dumps(row._asdict()), file=answers, flush=True)


if __name__ == "__main__":
    main()
