"""Data sets, preprocessing, mini-batches."""

from fastnet.data.archive import npz
from fastnet.data.cifar import cifar10, cifar100
from fastnet.data.dataset import Dataset
from fastnet.data.embedded import digits
from fastnet.data.folder import image_csv, image_folder
from fastnet.data.folds import fold_numbers
from fastnet.data.holdout import hold_out
from fastnet.data.idx import mnist, read_idx
from fastnet.data.loader import Loader
from fastnet.data.one_size import OneSize
from fastnet.data.pca import PCA
from fastnet.data.pictures import read_picture
from fastnet.data.prepared import PREPROCESSING
from fastnet.data.preprocess import Standardize
from fastnet.data.rows import Rows
from fastnet.pickles import load_plain_pickle
from fastnet.storage import read_npz

__all__ = [
    "Dataset",
    "Loader",
    "OneSize",
    "PCA",
    "PREPROCESSING",
    "Rows",
    "Standardize",
    "digits",
    "mnist",
    "cifar10",
    "cifar100",
    "npz",
    "image_csv",
    "image_folder",
    "fold_numbers",
    "hold_out",
    "load_plain_pickle",
    "read_idx",
    "read_npz",
    "read_picture",
]
