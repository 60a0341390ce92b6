"""Training: Solver, history, callbacks, checkpoints; averages, ensembles, distillation, pruning; minimisation."""

from fastnet.training.average_callbacks import PolyakAverage, Snapshots, StochasticWeightAverage
from fastnet.training.averages import WeightAverage, average_states, update_bn
from fastnet.training.callbacks import BestSnapshot, Callback, EarlyStopping
from fastnet.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from fastnet.training.distillation import Distillation, DistillationLoader
from fastnet.training.ensemble import Ensemble
from fastnet.training.history import History
from fastnet.training.objective import Objective
from fastnet.training.plan import TrainingPlan
from fastnet.training.plots import plot_runs
from fastnet.training.pruning import Masks, Ticket, find_ticket
from fastnet.training.saved import load
from fastnet.training.second_order import Minimum, minimize
from fastnet.training.solver import Solver
from fastnet.training.views import Views

__all__ = [
    "Solver",
    "History",
    "Callback",
    "BestSnapshot",
    "EarlyStopping",
    "Checkpoint",
    "CheckpointError",
    "TrainingPlan",
    "Distillation",
    "DistillationLoader",
    "Ensemble",
    "PolyakAverage",
    "Snapshots",
    "StochasticWeightAverage",
    "WeightAverage",
    "average_states",
    "update_bn",
    "Objective",
    "Minimum",
    "minimize",
    "Masks",
    "Ticket",
    "find_ticket",
    "load",
    "load_checkpoint",
    "plot_runs",
    "Views",
]
