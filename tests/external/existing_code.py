"""Functions that stand for existing code in other processes, which import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np


def square(x):
    return x * x


def process_of(x):
    return float(os.getpid())


def raises_at_three(x):
    if x == 3:
        raise ValueError("three is refused")
    return x


def dies_at_three(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def dies_once_at_three(x, marker):
    if x == 3 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def sleeps_at_three(x):
    if x == 3:
        time.sleep(60)
    return x * x


def holds_the_lock_at_three(x):
    import ctypes

    if x == 3:
        ctypes.PyDLL(None).sleep(60)  # unlike CDLL, it keeps the interpreter lock
    return x * x


def line(a, v):
    return a * np.asarray(v) + 1.0


def line_jacobian(a, v):
    return v, a * np.eye(len(v))
