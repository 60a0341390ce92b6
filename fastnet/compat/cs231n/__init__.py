"""A reference implementation of CS231n's API, module by module under the course's names.

It is meant for teachers, autograders and comparisons, and never replaces a file that students write.  Functions called
naive are readable loops; ``conv_*_fast`` and ``max_pool_*_fast`` run on fastnet's kernels.
"""

from __future__ import annotations

from fastnet.compat.cs231n.year import get_year, set_year

__all__ = ["get_year", "set_year"]
