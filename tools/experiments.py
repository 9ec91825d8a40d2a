"""The experiments of tools/reproduce, and the tables made of their figures."""

import csv
import dataclasses
import math
import pathlib
import statistics

KS = (1, 5, 10, 20)
SEEDS = (1, 2, 3)
HIDDEN = (50, 100, 200, 500)
DROPS = (0.1, 0.25, 0.5)
METHODS = ("none", "rbm", "autoencoder", "denoising")


@dataclasses.dataclass
class Experiment:
    name: str  # its folder below the output folder; "{out}" in an argument stands for that folder
    program: str
    arguments: list
    cost: float  # seconds it takes alone, roughly
    data: pathlib.Path | None = None
    after: str | None = None  # an experiment whose files it reads


def autoencoder_name(hidden, drop):
    return f"e-drop-{drop}" if hidden == 100 else f"g-autoencoder-{hidden}-drop-{drop}"


def experiments(data, mnist, quick):
    epochs = 2 if quick else 200
    temperatures = 200 if quick else 10000
    steps = 50 if quick else 1000
    result = []

    def rbm(name, cost, *arguments, ais=True, source=None):
        extra = ["--ais", str(temperatures)] if ais else []
        result.append(Experiment(name, "train_rbm", [*map(str, arguments), "--sample-steps", str(steps), *extra], cost,
                                 source or data))

    # a, b: what contrastive divergence and the number of its steps do, at a constant rate and at one that falls to 0
    falling = ["--learning-rate", 0.1, "--final-learning-rate", 0, "--epochs", epochs]
    for seed in SEEDS[:2] if quick else SEEDS:
        for k in KS:
            rbm(f"b-k{k}-{seed}", 40 + 4 * k, "--k", k, "--epochs", epochs, "--seed", seed)
            rbm(f"b-falling-k{k}-{seed}", 40 + 4 * k, "--k", k, *falling, "--seed", seed)
        for k in (1, 5):
            rbm(f"b-persistent-k{k}-{seed}", 40 + 4 * k, "--persistent", "--k", k, *falling, "--seed", seed)
        rbm(f"b-decay-k5-{seed}", 50, "--persistent", "--k", 5, *falling[:-1], epochs // 2, "--weight-decay", 0.001, "--seed", seed)
    rbm("a-rate-0.01", 40, "--learning-rate", 0.01, "--epochs", epochs)
    rbm("a-binarised", 40, "--binarise", "threshold", "--epochs", epochs)
    # c: samples
    for name in ("falling-k1", "falling-k5", "falling-k20", "persistent-k5", "decay-k5"):
        result.append(Experiment(f"c-{name}", "sample_rbm",
                                 ["--model", f"{{out}}/b-{name}-1/rbm.safetensors", "--steps", str(steps), "--seed", "2"], 3, data,
                                 after=f"b-{name}-1"))
    # e, f: autoencoders
    for drop in (0, *DROPS):
        result.append(Experiment(f"e-drop-{drop}", "train_autoencoder", ["--drop", str(drop), "--epochs", str(epochs)], 20, data))
    result.append(Experiment("e-untied", "train_autoencoder", ["--untied", "--epochs", str(epochs)], 20, data))
    result.append(Experiment("e-squared", "train_autoencoder", ["--loss", "squared", "--learning-rate", "0.5", "--epochs", str(epochs)],
                             20, data))
    # g: hidden units, momentum
    for hidden in HIDDEN:
        if hidden != 100:
            rbm(f"g-rbm-{hidden}", 20 + hidden / 10, "--hidden", hidden, "--epochs", epochs, ais=False)
            for drop in (0, 0.1):
                result.append(Experiment(autoencoder_name(hidden, drop), "train_autoencoder",
                                         ["--hidden", str(hidden), "--drop", str(drop), "--epochs", str(epochs)], hidden / 4,
                                         data))
    for momentum, rate in ((0.5, 0.05), (0.9, 0.01)):
        rbm(f"g-momentum-{momentum}", 15, "--momentum", momentum, "--learning-rate", rate, "--epochs", epochs, ais=False)
    # d, e, f: pretraining
    for hidden, seeds, tune, cost in ((100, 6, 200, 600), (500, 5, 100, 1000)):
        settings = ["--hidden", str(hidden), "--seeds", "2" if quick else str(seeds), "--epochs", "2" if quick else str(tune)]
        choices = ["--pretrain-epochs", "1"] if quick else ["--pretrain-epochs", "1,3,10", "--rates", "0.5,1,2"]
        result.append(Experiment(f"d-pretrain-{hidden}", "pretrain", settings + choices, 1 if quick else cost, data))
        # other shares of dropped inputs, with the same seeds and random weights
        for drop in DROPS[1:] if hidden == 100 else ():
            result.append(Experiment(f"f-pretrain-drop-{drop}", "pretrain",
                                     [*settings, *choices, "--methods", "none,denoising", "--drop", str(drop)],
                                     1 if quick else 250, data))
    # Problems 2 and 4
    result.append(Experiment("ising", "denoise_ising", [], 2, data))
    result.append(Experiment("directed", "directed_model", ["--networks", "100"], 2))
    if mnist:
        few = ["--epochs", 1 if quick else 20, "--batch", 100, "--binarise", "threshold", "--learning-rate", 0.05,
               "--final-learning-rate", 0]
        rbm("mnist-persistent", 220, "--hidden", 500, "--persistent", *few, source=mnist)
        rbm("mnist-k1", 220, "--hidden", 500, *few, source=mnist)
        rbm("mnist-k3", 300, "--hidden", 500, "--k", 3, *few, source=mnist)
        for name, arguments in (("k1", []), ("k5", ["--k", 5]), ("persistent", ["--persistent"])):
            rbm(f"mnist-20-{name}", 30, "--hidden", 20, *arguments, *few, source=mnist)
    return result


def table(head, rows):
    """In Markdown; rows without a figure are left out, and a table without rows is empty."""
    rows = [row for row in rows if any(row[1:]) or len(row) == 1]
    if not rows or not head:
        return ""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def mean_error(values, digits):
    """The mean, and its standard error if there is more than one value."""
    mean = statistics.mean(values)
    text = f"{mean:.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}"
    return text.replace("-", "−")


# log Z of a run by forward annealed importance sampling from two bases, and by reverse.
ESTIMATES = ("log_z", "log_z_reverse", "log_z_from_uniform")


def likelihood(run, log_z):
    """Test log-likelihood by another estimate of log Z than that from the base rates."""
    return run["test_log_likelihood"] + run["log_z"] - (run[log_z] if isinstance(log_z, str) else log_z)


def tables(runs, out):
    """Blocks of Markdown by name, and the pictures they show: name in the document's folder -> file."""
    blocks, pictures = {}, {}

    def show(text, experiment, file):
        name = f"{experiment}-{file}"
        pictures[name] = out / experiment / file
        return f"![{text}](images/results/{name})"

    groups = [(f"k = {k}", "0.1", [f"b-k{k}-{seed}" for seed in SEEDS]) for k in KS] + [("k = 1", "0.01", ["a-rate-0.01"])]
    groups += [(f"k = {k}", "0.1 → 0", [f"b-falling-k{k}-{seed}" for seed in SEEDS]) for k in KS]
    groups += [(f"persistent, k = {k}", "0.1 → 0", [f"b-persistent-k{k}-{seed}" for seed in SEEDS]) for k in (1, 5)]
    groups += [("persistent, k = 5, weight decay 0.001, 100 epochs", "0.1 → 0", [f"b-decay-k5-{seed}" for seed in SEEDS])]
    rows = []
    for text, rate, names in groups:
        group = [runs[name] for name in names if name in runs]
        if group:
            rows.append([text, rate, mean_error([run["train_cross_entropy"] for run in group], 1),
                         mean_error([run["valid_cross_entropy"] for run in group], 1),
                         *[mean_error([likelihood(run, log_z) for run in group], 1) for log_z in ESTIMATES],
                         mean_error([likelihood(run, max(run["log_z"], run["log_z_from_uniform"])) for run in group], 1),
                         mean_error([run["test_pseudo_log_likelihood"] for run in group], 1),
                         mean_error([run["free_energy_data_minus_samples"] for run in group], 0),
                         mean_error([run["seconds"] for run in group], 0)])
    blocks["steps"] = table(["training", "rate", "cross-entropy, train", "valid", "test log-likelihood: AIS from base rates", "reverse AIS",
                             "AIS from fair coins", "by the largest forward Z", "pseudo-log-likelihood", "F(data) − F(samples)", "seconds"], rows)

    rows = []
    for text, name in (("100 hidden, CD-1, pixels as they are", "b-k1-1"), ("100 hidden, CD-1, binarised", "a-binarised"),
                       ("500 hidden, CD-1, pixels as they are", "g-rbm-500")):
        if name in runs:
            run = runs[name]
            rows.append([text, f"{run['best_train_cross_entropy']:.2f}", f"{run['best_valid_cross_entropy']:.2f}",
                         f"{run['best_epoch']:.0f}"])
    blocks["reconstruction"] = table(["machine", "train", "valid", "best epoch"], rows)

    lines = []
    for text, name in (("CD-1: cross-entropy against epoch", "b-k1-1"),):
        if name in runs and (out / name / "curves.png").exists():
            lines.append(show(text, name, "curves.png"))
    if "b-k1-1" in runs:
        lines.append(show("CD-1: the weights of its 100 hidden units", "b-k1-1", "filters.png"))
    blocks["curves"] = "\n".join(lines)

    cells = [(text, name) for text, name in (("CD-1", "c-falling-k1"), ("CD-5", "c-falling-k5"), ("CD-20", "c-falling-k20"),
                                              ("persistent, k = 5", "c-persistent-k5"), ("persistent, k = 5, weight decay", "c-decay-k5"))
             if name in runs]
    blocks["samples"] = table([text for text, _ in cells], [[show(f"samples, {text}", name, "samples.png") for text, name in cells]])

    rows = []
    for hidden in HIDDEN:
        row = [str(hidden)]
        run = runs.get("b-k1-1" if hidden == 100 else f"g-rbm-{hidden}")
        row.append(f"{run['best_train_cross_entropy']:.1f} / {run['best_valid_cross_entropy']:.1f} ({run['best_epoch']:.0f})" if run else "")
        for drop in (0, 0.1):
            run = runs.get(autoencoder_name(hidden, drop))
            row.append(f"{run['best_train_loss']:.1f} / {run['best_valid_loss']:.1f} ({run['best_epoch']:.0f})" if run else "")
        rows.append(row)
    blocks["hidden"] = table(["hidden", "RBM, CD-1", "autoencoder", "denoising, 10 %"], rows)

    rows = []
    for text, name in (("0, rate 0.1", "b-k1-1"), ("0.5, rate 0.05", "g-momentum-0.5"), ("0.9, rate 0.01", "g-momentum-0.9")):
        if name in runs:
            run = runs[name]
            rows.append([text, *[f"{value:.1f}" for value in epochs_of(out / name, "valid_cross_entropy")],
                         f"{run['best_valid_cross_entropy']:.2f} ({run['best_epoch']:.0f})"])
    blocks["momentum"] = table(["momentum", "epoch 1", "epoch 10", "epoch 50", "last epoch", "best (epoch)"], rows)

    rows = []
    for text, name in [("tied, nothing dropped", "e-drop-0"), *[(f"tied, {100 * d:.0f} % dropped", f"e-drop-{d}") for d in DROPS],
                       ("untied", "e-untied"), ("tied, squared loss: squared error", "e-squared")]:
        if name in runs:
            run = runs[name]
            rows.append([text, f"{run['best_train_loss']:.1f}", f"{run['best_valid_loss']:.1f}", f"{run['best_epoch']:.0f}",
                         f"{run['valid_loss']:.1f}"])
    blocks["autoencoders"] = table(["autoencoder, 100 hidden", "train", "best valid", "epoch", "valid at the end"], rows)
    cells = [(t, n) for t, n in (("autoencoder", "e-drop-0"), ("25 % dropped", "e-drop-0.25"), ("50 % dropped", "e-drop-0.5"))
             if n in runs]
    blocks["autoencoder filters"] = table([t for t, _ in cells], [[show(f"weights, {t}", n, "filters.png") for t, n in cells]])

    for hidden in (100, 500):
        run, rows = runs.get(f"d-pretrain-{hidden}"), []
        if not run:
            continue
        for method in METHODS:
            rows.append(pretraining_row({"none": "random weights", "denoising": "denoising, 10 % dropped"}.get(method, method), run, method))
        for drop in DROPS[1:]:
            other = runs.get(f"f-pretrain-drop-{drop}")
            if other and hidden == 100:
                rows.append(pretraining_row(f"denoising, {100 * drop:.0f} % dropped", other, "denoising"))
        blocks[f"pretraining {hidden}"] = table(["first layer from", "epochs of pretraining", "rate of fine-tuning", "validation %",
                                                 "test %", "test, against random (paired)"], rows)
        if (out / f"d-pretrain-{hidden}" / "curves.png").exists():
            blocks[f"pretraining {hidden}"] += "\n\n" + show(f"validation accuracy, {hidden} hidden units", f"d-pretrain-{hidden}",
                                                             "curves.png")

    rows = []
    for hidden in (100, 500):
        if f"d-pretrain-{hidden}" in runs:
            trials = pretraining_trials(out / f"d-pretrain-{hidden}")
            lengths = sorted({length for _, length in trials} - {0})
            head = ["test %, by epochs of pretraining", "0", *map(str, lengths)]
            for method in METHODS[1:]:
                rows.append([f"{method}, {hidden} hidden", trials["none", 0], *[trials[method, length] for length in lengths]])
    blocks["pretraining lengths"] = table(head, rows) if rows else ""

    rows = []
    for text, name in (("500 hidden, CD-1", "mnist-k1"), ("500 hidden, CD-3", "mnist-k3"), ("500 hidden, persistent", "mnist-persistent")):
        if name in runs:
            run = runs[name]
            forward, reverse, uniform = (likelihood(run, log_z) for log_z in ESTIMATES)
            rows.append([text, f"{run['train_cross_entropy']:.1f} / {run['valid_cross_entropy']:.1f}",
                         f"{forward:.2f} ± {run['log_z_standard_error']:.2f}", f"{uniform:.2f}", f"{reverse:.2f}",
                         f"{run['train_log_likelihood']:.2f}", f"{run['seconds']:.0f}"])
    for text, name in (("20 hidden, CD-1", "mnist-20-k1"), ("20 hidden, CD-5", "mnist-20-k5"), ("20 hidden, persistent", "mnist-20-persistent")):
        if name in runs:
            run = runs[name]
            rows.append([text, f"{run['train_cross_entropy']:.1f} / {run['valid_cross_entropy']:.1f}",
                         f"{run['test_log_likelihood']:.2f}, exact", "", "", f"{run['train_log_likelihood']:.2f}", f"{run['seconds']:.0f}"])
    if rows:
        blocks["mnist"] = table(["MNIST, binarised, 20 epochs", "cross-entropy, train / valid", "test log-likelihood, from base rates",
                                 "from fair coins", "reverse", "training log-likelihood", "seconds"], rows)
        if "mnist-persistent" in runs:
            blocks["mnist"] += "\n\n" + show("samples of the machine with 500 hidden units", "mnist-persistent", "samples.png")
    if "ising" in runs:
        run = runs["ising"]
        rows = [[method, f"{run['noisy_wrong']:.2f}", f"{run[key + '_wrong']:.2f}"]
                for method, key in (("ICM", "icm"), ("Gibbs", "gibbs")) if f"{key}_wrong" in run]
        blocks["ising"] = table(["method", "wrong pixels before, %", "after, %"], rows) + "\n\n" + show(
            "clean, noisy, denoised by ICM and by Gibbs sampling", "ising", "comparison.png")
    if "directed" in runs:
        run = runs["directed"]
        blocks["directed"] = table(
            ["over 100 random networks and the burglar alarm", "worst"],
            [["Σ p(x) − 1 by enumeration", f"{run['worst_enumeration_minus_1']:.1e}"],
             ["Σ p(x) − 1 by summing out in reverse topological order", f"{run['worst_elimination_minus_1']:.1e}"],
             ["the table left after a step, against the model without that node", f"{run['worst_step']:.1e}"],
             ["marginals and conditionals by elimination, against enumeration", f"{run['worst_marginal']:.1e}"],
             ["ancestral samples, chi-square in standard deviations", f"{run['worst_z']:.2f}"]])
    # A block without figures would wipe what the document has there.
    return {name: text for name, text in blocks.items() if text}, pictures


def pretraining_row(text, run, method):
    gain = f"{run[method + '_gain']:+.2f} ± {run[method + '_gain_error']:.2f}" if method != "none" else ""
    return [text, f"{run[method + '_pretrain_epochs']:.0f}", f"{run[method + '_rate']:g}",
            f"{run[method + '_valid']:.2f} ± {run[method + '_valid_error']:.2f}",
            f"{run[method + '_test']:.2f} ± {run[method + '_test_error']:.2f}", gain]


def pretraining_trials(folder):
    """Test accuracy by method and epochs of pretraining, at the rate that is best on validation data."""
    trials = {}
    with open(folder / "metrics.csv") as file:
        for row in csv.DictReader(file):
            rates = trials.setdefault((row["method"], int(row["pretrain_epochs"])), {})
            rates.setdefault(row["learning_rate"], []).append((float(row["valid_accuracy"]), float(row["test_accuracy"])))
    return {key: mean_error([test for _, test in max(rates.values(), key=lambda runs: statistics.mean(v for v, _ in runs))], 2)
            for key, rates in trials.items()}


def epochs_of(folder, column):
    """A column of metrics.csv at epochs 1, 10, 50 and the last."""
    with open(folder / "metrics.csv") as file:
        values = [float(row[column]) for row in csv.DictReader(file)]
    return [values[min(epoch, len(values)) - 1] for epoch in (1, 10, 50, len(values))] if values else [math.nan] * 4
