"""The cases of tools/bench, what is asked of them, and the tables made of their figures."""

import dataclasses
import statistics

# Programs in the order of a round. ALONE is ours on one thread, beside the others on several.
OURS, HAND, ALONE, TORCH, SKLEARN = "xtape", "hand", "xtape on one thread", "libtorch", "scikit-learn"


@dataclasses.dataclass
class Row:
    name: str  # of the case, as in benchmarks/cases.cpp
    title: str
    what: str = ""  # of it is measured, unless it is forward and backward
    most_times: float | None = None  # of the program by hand's time, at most
    most_us: float | None = None  # microseconds, at most
    torch: float | None = None  # libtorch's time divided by ours, at least
    speedup: float = 0.95  # time on one thread divided by that on two, at least
    floor: str | None = None  # another case of the program by hand, which `most_times` means
    tolerance: float = 1e-4  # of the numbers, relative to their norm
    sklearn_tolerance: float | None = None

    def target(self):
        if self.most_us:
            return f"{self.most_us:,.0f} µs"
        return f"{self.most_times:g} × {'products' if self.floor else 'hand'}" if self.most_times else ""


def rows():
    step = ", training step"
    formula = "sum(σ(x·w + b)·tanh x)"
    result = [
        Row("chain/999", "999 chained elementwise ops on 10 elements", most_us=220, torch=24),
        Row("fused/1000", f"{formula}, one `map`, n = 10³", most_us=3, torch=15),
        Row("fused/100000", f"{formula}, one `map`, n = 10⁵", most_times=1.3, torch=3),
        Row("fused/1000000", f"{formula}, one `map`, n = 10⁶", most_times=1.3, torch=4),
        Row("unfused/1000000", f"{formula}, op by op, n = 10⁶", most_times=1.3, torch=1.5),
        Row("problem1/1", "conv, max-pool, softmax (28×28, 2 filters), batch 1", most_times=3, torch=8),
        Row("problem1/32", "conv, max-pool, softmax (28×28, 2 filters), batch 32", most_times=1.4, torch=5),
        Row("mlp/1", "MLP 784-100-10, batch 1", step, most_times=1.3, torch=2),
        Row("mlp/32", "MLP 784-100-10, batch 32", step, most_times=1.15, torch=1.5),
        Row("mlp/128", "MLP 784-100-10, batch 128", step, most_times=1.08, torch=1.15, speedup=1.6),
        Row("autoencoder/32", "autoencoder 784-100-784, batch 32", step, most_times=1.1, torch=1.2),
        Row("convnet/64", "convnet of train_classifier, batch 64", step, most_us=8000, torch=1.65, speedup=1.6),
        Row("softmax", "softmax (1024, 1000)", most_times=1.2, torch=1.4),
        Row("log_softmax", "log_softmax (1024, 1000)", most_us=1300, torch=1.6),
        Row("max_pool/forward", "max_pool2d (64, 16, 24, 24), window 2", ", forward", most_us=470, torch=5),
        Row("matmul/512", "matmul 512³", most_times=1.02, torch=1),
        Row("matmul/1024", "matmul 1024³", most_times=1.02, torch=1),
        Row("conv/1x28_16", "conv2d (64, 1, 28, 28) ∗ (16, 1, 5, 5)", ", dw", most_times=1, torch=2),
        Row("conv/16x12_32", "conv2d (64, 16, 12, 12) ∗ (32, 16, 5, 5)", ", dw and dx", most_us=4200, torch=1.05),
        Row("conv/64x56_64", "conv2d (16, 64, 56, 56) ∗ (64, 64, 3, 3), padding 1", ", dw and dx", most_us=138000, torch=1.03),
    ]
    # Without a tape; there are no targets.
    result += [Row(r.name + "/forward", r.title, ", forward") for r in result if not r.name.endswith("/forward")]
    # Two runs of contrastive divergence agree as far as their draws let them.
    result += [
        Row("cd1/100/32", "CD-1, 784-100, batch 32, with momentum", most_times=1.1, torch=1.4, tolerance=0.05),
        Row("cd10/100/32", "CD-10, 784-100, batch 32, with momentum", most_times=1.1, torch=1.8, tolerance=0.05),
        Row("cd1/500/128", "CD-1, 784-500, batch 128, with momentum", most_times=1.05, torch=1.1, tolerance=0.05, speedup=1.6),
    ]
    for hidden, most in ((100, 1.15), (500, 1.1)):
        for batch in (32, 100):
            name = f"epoch/{hidden}/{batch}"
            result.append(Row(name, f"{hidden} hidden, batch {batch}", most_times=most, floor=name + "/products",
                              tolerance=0.1, sklearn_tolerance=0.1))
    return result


def disagreements(ours, peer, tolerance):
    """What differs between a case's numbers, {quantity: (norm, projection)}, of two programs."""
    result = []
    for name in {**ours, **peer}:
        if name not in ours or name not in peer:
            result.append(f"{name} is in one only")
            continue
        (norm, projection), (peer_norm, peer_projection) = ours[name], peer[name]
        difference = max(abs(norm - peer_norm), abs(projection - peer_projection))
        if not difference <= tolerance * abs(peer_norm):  # NaN is a difference too
            result.append(f"{name}: norm {norm:.9g} and {peer_norm:.9g}, projection {projection:.9g} and {peer_projection:.9g}")
    return result


class Figures:
    """Times in microseconds by program, case and round."""

    def __init__(self):
        self.times = {}

    def add(self, program, case, microseconds):
        self.times.setdefault((program, case), []).append(microseconds)

    def time(self, program, case):
        times = self.times.get((program, case))
        return statistics.median(times) if times else None

    def ratio(self, above, below):
        """Median, smallest and largest of one (program, case)'s time over another's, round by round."""
        pairs = list(zip(self.times.get(above, []), self.times.get(below, [])))
        ratios = [a / b for a, b in pairs]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def number(x):
    """Three digits or all before the point."""
    if x is None:
        return "–"
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def spread(ratio):
    return "–" if ratio is None else f"{ratio[0]:.2f} [{ratio[1]:.2f}..{ratio[2]:.2f}]"


def verdict(row, time, to_hand, to_torch):
    """Whether the medians meet the targets; a target that could not be measured is neither met nor missed."""
    wanted = [(time, row.most_us, "time"), (to_hand and to_hand[0], row.most_times, "hand")]
    missed = [what for figure, most, what in wanted if figure and most and figure > most]
    if to_torch and row.torch and to_torch[0] < row.torch:
        missed.append("libtorch")
    measured = any(figure and most for figure, most, _ in wanted) or (to_torch and row.torch)
    return "missed: " + ", ".join(missed) if missed else "met" if measured else ""


def table(figures, wanted):
    head = ["case", "xtape µs", "libtorch µs", "hand µs", "libtorch / xtape", "xtape / hand", "xtape ≤", "vs libtorch", ""]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * 5 + "---|---|---|"]
    for row in wanted:
        ours = OURS, row.name
        time, to_hand = figures.time(*ours), figures.ratio(ours, (HAND, row.name))
        if time is None:
            continue
        to_torch = figures.ratio((TORCH, row.name), ours)
        cells = [row.title + row.what, number(time), number(figures.time(TORCH, row.name)), number(figures.time(HAND, row.name)),
                 spread(to_torch), spread(to_hand), row.target(), f"≥ {row.torch:g}" if row.torch else "",
                 verdict(row, time, to_hand, to_torch)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def threads_table(figures, wanted):
    """On several threads, against one."""
    head = ["case", "xtape µs", "on one thread µs", "libtorch µs", "hand µs", "one thread / several", "libtorch / xtape",
            "xtape / hand", "speedup ≥", ""]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * 7 + "---|---|"]
    for row in wanted:
        ours = OURS, row.name
        speedup = figures.ratio((ALONE, row.name), ours)
        if speedup is None:
            continue
        times = [number(figures.time(program, row.name)) for program in (OURS, ALONE, TORCH, HAND)]
        cells = [row.title + row.what, *times, spread(speedup), spread(figures.ratio((TORCH, row.name), ours)),
                 spread(figures.ratio(ours, (HAND, row.name))), f"{row.speedup:g}",
                 "met" if speedup[0] >= row.speedup else "missed"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def epoch_table(figures, wanted):
    head = ["machine", "xtape s", "libtorch s", "scikit-learn s", "hand s", "its products s", "libtorch / xtape",
            "xtape / products", "xtape ≤", ""]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * 7 + "---|---|"]
    for row in wanted:
        ours = OURS, row.name
        to_products, to_torch = figures.ratio(ours, (HAND, row.floor)), figures.ratio((TORCH, row.name), ours)
        times = [figures.time(*ours)] + [figures.time(program, row.name) for program in (TORCH, SKLEARN, HAND)]
        times.append(figures.time(HAND, row.floor))
        if times[0] is None:
            continue
        cells = [row.title, *["–" if t is None else f"{t * 1e-6:.3f}" for t in times], spread(to_torch),
                 spread(to_products), row.target(), verdict(row, times[0], to_products, to_torch)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


@dataclasses.dataclass
class MemoryRow:
    name: str
    title: str
    parameters: int
    activations: int  # numbers: the batch and what backward reads of each layer's results

    def least(self):
        """Bytes for parameters, their gradients and velocities, and activations."""
        return 4 * (3 * self.parameters + self.activations)


def memory_rows():
    return [
        MemoryRow("mlp/32", "MLP 784-100-10, batch 32", 785 * 100 + 101 * 10, 32 * (784 + 100 + 10)),
        MemoryRow("autoencoder/32", "autoencoder 784-100-784, batch 32", 785 * 100 + 101 * 784, 32 * (784 + 100 + 784)),
        # Each pooling's places count as numbers do.
        MemoryRow("convnet/64", "convnet of train_classifier, batch 64", 26 * 16 + (16 * 25 + 1) * 32 + 513 * 128 + 129 * 10,
                  64 * (28 * 28 + 16 * 24 * 24 + 2 * 16 * 12 * 12 + 32 * 8 * 8 + 2 * 32 * 4 * 4 + 128 + 10)),
        # Of the chain the hidden units and the visible ones at both ends.
        MemoryRow("cd1/100/32", "CD-1, 784-100, batch 32", 784 * 100 + 784 + 100, 32 * 2 * (784 + 100)),
    ]


def memory_table(figures):
    """figures: {(program, case): (bytes in tensors at the peak, bytes by which the process grew)}"""
    def megabytes(count):
        return "–" if count is None else f"{count / 1e6:.2f}"

    lines = ["| training step | least MB | xtape's tensors MB | ratio | process grows: xtape MB | libtorch MB |",
             "|---|---:|---:|---:|---:|---:|"]
    for row in memory_rows():
        tensors = figures[OURS, row.name][0]
        grown = [megabytes(figures.get((program, row.name), (0, None))[1]) for program in (OURS, TORCH)]
        lines.append(f"| {row.title} | {megabytes(row.least())} | {megabytes(tensors)} | {tensors / row.least():.2f} | {' | '.join(grown)} |")
    return "\n".join(lines)
