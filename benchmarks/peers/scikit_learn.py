#!/usr/bin/env python3
"""The epochs of the restricted Boltzmann machine in scikit-learn: BernoulliRBM in float32, which trains by persistent
contrastive divergence with as many products of matrices as CD-1. Options and output as the other programs have them:
--numbers, --benchmark_filter=REGEX, --benchmark_min_time=SECONDS, --benchmark_format=json.
"""

import argparse
import json
import re
import time

import numpy as np
from sklearn.neural_network import BernoulliRBM

ROWS, VISIBLE, RATE = 10000, 784, 0.1


def fractions(seed, count, start=0):
    """Numbers on [0, 1) as in cases.cpp."""
    i = np.arange(start, start + count, dtype=np.uint64)
    z = np.uint64(seed << 40) + (i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def binary_rows(seed, rows, columns):
    patterns = fractions(seed + 100, 10 * columns).reshape(10, columns) < np.float32(0.3)
    flipped = fractions(seed, rows * columns).reshape(rows, columns) < np.float32(0.1)
    return (patterns[np.arange(rows) % 10] != flipped).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(name, machine, v):
    """The cross-entropy of the first rows' reconstruction, as in cases.cpp."""
    v = v[:100].astype(np.float64)
    w = machine.components_.astype(np.float64)
    h = sigmoid(v @ w.T + machine.intercept_hidden_)
    x = h @ w + machine.intercept_visible_
    error = np.logaddexp(0, np.where(v > 0, -x, x)).sum(axis=1).mean()
    print(f"{name} error {error:.17g} {error:.17g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--numbers", action="store_true")
    parser.add_argument("--benchmark_filter", default=".")
    parser.add_argument("--benchmark_min_time", type=float, default=0.5)
    parser.add_argument("--benchmark_format", default="json", choices=["json"])
    parser.add_argument("--threads", type=int, help="taken from OPENBLAS_NUM_THREADS")
    options = parser.parse_args()
    v = binary_rows(39, ROWS, VISIBLE)
    results = []
    for hidden in (100, 500):
        for batch in (32, 100):
            name = f"epoch/{hidden}/{batch}"
            if not re.search(options.benchmark_filter, name):
                continue
            machine = BernoulliRBM(n_components=hidden, batch_size=batch, learning_rate=RATE, n_iter=1, random_state=1)
            if options.numbers:
                numbers(name, machine.fit(v), v)
                continue
            start, cpu_start, epochs = time.perf_counter(), time.process_time(), 0
            while epochs == 0 or time.perf_counter() - start < options.benchmark_min_time:
                machine.fit(v)
                epochs += 1
            real, cpu = ((now - before) / epochs * 1e6 for now, before in
                         ((time.perf_counter(), start), (time.process_time(), cpu_start)))
            results.append({"name": name, "iterations": epochs, "real_time": real, "cpu_time": cpu, "time_unit": "us"})
    if not options.numbers:
        print(json.dumps({"benchmarks": results}))


if __name__ == "__main__":
    main()
