"""How a training step's time grows: the cases growth/* of the benchmarks, fitted exponents, pictures."""

import dataclasses
import math
import statistics
import subprocess


@dataclasses.dataclass
class Growth:
    name: str  # of the cases growth/NAME/SIZE
    axis: str
    title: str
    exponent: int  # of the arithmetic
    sizes: list


def growths():
    def doubling(first, last):
        return [first << i for i in range((last // first).bit_length())]

    return [
        Growth("batch", "batch", "MLP 784-100-10, a training step against the batch", 1, doubling(1, 4096)),
        Growth("hidden", "hidden units", "MLP 784-h-10, batch 32, a training step against the hidden units", 1, doubling(32, 4096)),
        Growth("depth", "layers", "64 units a layer, batch 128, a training step against the depth", 1, doubling(1, 1024)),
        Growth("side", "image side", "two convolutions 5×5 and poolings, batch 8, a training step against the side", 2, doubling(8, 256)),
    ]


DOMINATES = 8  # times the time of the smallest size: from there on arithmetic counts alone


def fit(times):
    """The least-squares slope of log time by log size over the sizes where arithmetic dominates, but at least the last
    four, and the first of them. times: {size: time}."""
    sizes = sorted(times)
    floor = times[sizes[0]]
    first = next((i for i, size in enumerate(sizes) if times[size] >= DOMINATES * floor), len(sizes))
    used = sizes[min(first, len(sizes) - 4):]
    x, y = [math.log(size) for size in used], [math.log(times[size]) for size in used]
    return statistics.linear_regression(x, y).slope, used[0]


def table(measured):
    """measured: [(Growth, {size: microseconds})]"""
    lines = ["| grows | smallest: µs | largest: µs | exponent | over | arithmetic's |", "|---|---:|---:|---:|---|---:|"]
    for growth, times in measured:
        slope, start = fit(times)
        smallest, largest = min(times), max(times)
        lines.append(f"| {growth.axis} | {smallest:,}: {times[smallest]:,.0f} | {largest:,}: {times[largest]:,.0f} | {slope:.2f} "
                     f"| {start:,} to {largest:,} | {growth.exponent} |")
    return "\n".join(lines)


def draw(growth, times, path):
    """A PNG by gnuplot, both axes logarithmic; the dashed line grows as the arithmetic does, through the last point."""
    last = max(times)
    script = "\n".join([
        "set terminal pngcairo noenhanced size 900,560 font 'Sans,12' background rgb '#ffffff'",
        "set encoding utf8",
        f"set output '{path}'",
        "set border 3 linewidth 1 linecolor rgb '#606060'",
        "set tics nomirror out scale 0.6 textcolor rgb '#303030'",
        "set grid linetype 1 linewidth 1 linecolor rgb '#e4e4e4'",
        "set logscale x 2", "set logscale y 10", "set format x '%.0f'", "set format y '%.0f'",
        f"set xrange [{min(times)}:{last}]", f"set yrange [{0.5 * min(times.values())}:{2 * max(times.values())}]",
        f"set title '{growth.title}' font 'Sans,14'",
        f"set xlabel '{growth.axis}'", "set ylabel 'µs'", "set key left top Left reverse",
        "$times << END", *(f"{size} {times[size]}" for size in sorted(times)), "END",
        f"plot {times[last]} * (x / {last}.0)**{growth.exponent} with lines linewidth 1.5 dashtype (9,6) linecolor rgb '#909090' "
        f"title 'as the arithmetic, exponent {growth.exponent}', "
        "$times using 1:2 with linespoints pointtype 7 pointsize 0.9 linewidth 2.2 linecolor rgb '#0072b2' title 'measured'",
    ])
    subprocess.run(["gnuplot", "-d", "-"], input=script, text=True, check=True)


def measure(program, rounds, seconds):
    """[(Growth, {size: microseconds, the median of the rounds})]"""
    times = {}
    for n in range(1, rounds + 1):
        for growth in growths():
            for size in growth.sizes:
                times.setdefault((growth.name, size), []).append(program.time(f"growth/{growth.name}/{size}", seconds))
        print(f"round {n}/{rounds}", flush=True)
    return [(growth, {size: statistics.median(times[growth.name, size]) for size in growth.sizes}) for growth in growths()]
