"""The course CS231n's API, module by module under the course's names: a reference to compare with.

For teachers, autograders and comparisons; nothing here is put in place of a file that students are to write.  Functions
called naive are loops that can be read; ``conv_*_fast`` and ``max_pool_*_fast`` run on fastnet's kernels.
"""

from __future__ import annotations

from fastnet.compat.cs231n.year import get_year, set_year

__all__ = ["get_year", "set_year"]
