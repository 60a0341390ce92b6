"""Hyperparameter search on Optuna (the extra "search"): random, grid and TPE, coarse to fine, cross-validated.

>>> from fastnet.search import log_uniform, search
>>> def build(data, lr, weight_decay):
...     optimizer = fn.optim.AdamW(lr, weight_decay=weight_decay)
...     return fn.Solver(fn.models.create("lenet5", 10, data.image_shape), data, optimizer=optimizer, epochs=3)
>>> space = {"lr": log_uniform(1e-5, 1e-1), "weight_decay": log_uniform(1e-5, 1e0)}
>>> results = search(build, space, data=mnist, trials=20, fine=10, folder="runs/search")
>>> results.best.setting
"""

from fastnet.search.results import Results, Run, load
from fastnet.search.run import search
from fastnet.search.space import choice, integer, log_uniform, uniform

__all__ = ["Results", "Run", "choice", "integer", "load", "log_uniform", "search", "uniform"]
