"""A network as a graph of ops: recorded, rewritten, differentiated, and run."""

from fastnet.graph.ir import Graph, Node, Unrecordable
from fastnet.graph.program import Program
from fastnet.graph.recorder import Recorder, record

__all__ = ["Graph", "Node", "Program", "Recorder", "Unrecordable", "record"]
