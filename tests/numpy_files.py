#!/usr/bin/env python3
"""NumPy's side of test_npy_numpy.cpp.

    numpy_files.py write FOLDER   arrays of every kind that the readers take, each with its shape and values as text
    numpy_files.py check FOLDER   reads what the library has written, and compares with such texts
    numpy_files.py probe          succeeds if there is a NumPy
"""
import sys
from pathlib import Path

try:
    import numpy as np
except ImportError:
    sys.exit(3)

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]
SHAPES = [(), (1,), (0,), (7,), (3, 4), (2, 0, 3), (2, 3, 4, 5), (2, 1, 3, 1, 2, 1, 1, 2)]


def text(array):
    """The shape, then every value in C order, exactly."""
    values = [float(v).hex() if array.dtype.kind == "f" else str(int(v)) for v in array.ravel(order="C")]
    return "".join(line + "\n" for line in [" ".join(map(str, array.shape)), *values])


def values(dtype, count, random):
    """Ordinary ones, and the extremes among them that float holds exactly."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        limits = np.finfo(dtype)
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, limits.max, limits.min, limits.tiny, limits.tiny / 2, 1 / 3]
        result = random.standard_normal(count)
    elif kind == "b":
        special, result = [True, False], random.integers(0, 2, count)
    else:
        bits = 8 * np.dtype(dtype).itemsize
        special = [0, 1, 2 ** (bits - 1) - (2 ** (bits - 25) if bits > 24 else 1), 2 ** min(bits - 2, 24)]
        special += [-2 ** (bits - 1), -1] if kind == "i" else [2 ** bits - (2 ** (bits - 24) if bits > 24 else 1)]
        result = random.integers(0, 100, count)
    result = result.astype(dtype)
    for place, value in zip(random.permutation(count), special):
        result[place] = value
    return result


def write(folder):
    random = np.random.default_rng(1)
    arrays = {}
    for dtype in DTYPES:
        for order in "|" if dtype.endswith("1") else "<>":
            for shape in SHAPES:
                count = int(np.prod(shape, dtype=int))
                array = values(dtype, count, random).reshape(shape).astype(order + dtype)
                for layout in "CF":
                    arrays[f"{order if order != '|' else '-'}{dtype}_{'x'.join(map(str, shape))}_{layout}"] = (
                        np.asarray(array, order=layout))
    for number, (name, array) in enumerate(arrays.items()):
        with open(folder / (name + ".npy"), "wb") as file:
            np.lib.format.write_array(file, array, version=[(1, 0), (2, 0), (3, 0), None][number % 4])
        (folder / (name + ".txt")).write_text(text(array))
    np.savez(folder / "stored.npz", **arrays)
    np.savez_compressed(folder / "deflated.npz", **arrays)
    (folder / "names.txt").write_text("\n".join(arrays) + "\n")


def check(folder):
    checked = 0

    def same(array, name, where):
        nonlocal checked
        shape, *expected = (folder / (name + ".txt")).read_text().split("\n")[:-1]
        assert array.flags.c_contiguous and array.dtype.isnative, where
        assert array.shape == tuple(map(int, shape.split())), (where, array.shape, shape)
        kind = "i8" if name.startswith("i") else "f8" if name.startswith("d") else "f4"
        assert array.dtype == np.dtype(kind), (where, array.dtype)
        convert = int if kind == "i8" else float.fromhex
        wanted = np.array([convert(v) for v in expected], dtype=kind).reshape(array.shape)
        np.testing.assert_array_equal(array, wanted, err_msg=where)
        np.testing.assert_array_equal(np.signbit(array), np.signbit(wanted), err_msg=where)
        checked += 1

    for path in sorted(folder.glob("*.npy")):
        same(np.load(path, allow_pickle=False), path.stem, path.name)
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            names = dict(line.split("\t") for line in (folder / "members.txt").read_text().splitlines())
            kind = path.stem[0]
            expected = {name: stem for stem, name in names.items() if stem.startswith(kind)}
            assert set(archive.keys()) == set(expected), (path.name, archive.keys())
            for name, stem in expected.items():
                same(archive[name], stem, f"{path.name}: {name}")
    print(checked)


if sys.argv[1] != "probe":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]))
