"""Times PyTorch (eager, CPU) on the jobs that Potstill does, one JSON line per row and memory layout.

    python benches/peers/pytorch.py --threads 2
    python benches/peers/pytorch.py --row resnet20-train --layout channels_last --steps 30

A line is {"row", "layout", "median_s", "min_s", "max_s", "peak_mb", "threads"}: seconds for one step, and the largest resident memory
of the process so far in MiB (so ask for one row and one layout where it matters). A training step is: clear the gradients, forward,
cross entropy, backward, SGD with Nesterov momentum 0.9 and weight decay 5e-4, on a batch that is ready in memory. The `kd` row is a
whole step from the bytes of the images on: pad-and-crop and flip, normalise, teacher forward without gradients, student forward,
(1 - alpha) cross entropy + alpha T^2 KL (Hinton et al. 2015, arXiv:1503.02531, T = 4, alpha = 0.9), backward, SGD. Needs: pip install torch.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from networks import Branched, Peers, build, initialised
from torch.nn import functional

CLASSES = 100
TEMPERATURE, ALPHA = 4.0, 0.9
MEAN = torch.tensor([0.5071, 0.4865, 0.4409]).view(1, 3, 1, 1)
STD = torch.tensor([0.2673, 0.2564, 0.2762]).view(1, 3, 1, 1)
PADDING = 4
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


# Of forward passes; "bf16" is PyTorch's autocast.
PRECISION = "fp32"


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=PRECISION == "bf16")


def optimizer_of(network):
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)


def labels_of(batch):
    return torch.randint(0, CLASSES, (batch,))


def training(name, batch, layout):
    network = build(name).to(memory_format=layout).train()
    optimizer = optimizer_of(network)
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = labels_of(batch)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    return step


def inference(name, batch, layout):
    network = build(name).to(memory_format=layout).eval()
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)

    def step():
        with torch.inference_mode(), autocast():
            network(images)

    return step


def augmented(images, layout):
    """A random crop of the zero-padded images and a random flip, each image its own: [batch, 3, 32, 32] bytes to normalised floats."""
    batch, _, height, width = images.shape
    padded = functional.pad(images, (PADDING,) * 4)
    rows = torch.arange(height) + torch.randint(0, 2 * PADDING + 1, (batch, 1))
    columns = torch.arange(width).expand(batch, width)
    columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns) + torch.randint(0, 2 * PADDING + 1, (batch, 1))
    # Indices around a slice put the channels last.
    cropped = padded[torch.arange(batch)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return ((cropped.float() / 255 - MEAN) / STD).contiguous(memory_format=layout)


def soft_term(logits, target, temperature):
    """T^2 KL(softmax(target / T) || softmax(logits / T))."""
    log_predicted = functional.log_softmax(logits / temperature, 1)
    return temperature**2 * functional.kl_div(log_predicted, functional.softmax(target / temperature, 1), reduction="batchmean")


def whole_step(student, loss, layout, batch=128):
    """A step from the bytes of the pictures on; `loss` is computed from pictures and labels."""
    student.to(memory_format=layout).train()
    optimizer = optimizer_of(student)
    images = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
    labels = labels_of(batch)

    def step():
        batch_images = augmented(images, layout)
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            value = loss(batch_images, labels)
        value.backward()
        optimizer.step()

    return step


def distillation(teacher_name, student_name, layout):
    teacher = build(teacher_name).to(memory_format=layout).eval()
    student = build(student_name)

    def loss(images, labels):
        with torch.no_grad():
            taught = teacher(images)
        logits = student(images)
        return (1 - ALPHA) * functional.cross_entropy(logits, labels) + ALPHA * soft_term(logits, taught, TEMPERATURE)

    return whole_step(student, loss, layout)


def one(depth, branches, layout):
    student = initialised(Branched(depth, branches))

    def loss(images, labels):
        logits, gate = student(images)
        ensemble = sum(gate[:, index, None] * each for index, each in enumerate(logits))
        hard = sum(functional.cross_entropy(each, labels) for each in [*logits, ensemble])
        return hard + sum(soft_term(each, ensemble, 3.0) for each in logits)

    return whole_step(student, loss, layout)


def okddip(depth, members, layout):
    student = initialised(Peers(depth, members))

    def loss(images, labels):
        logits, attention = student(images)
        peers = torch.stack(logits[:-1], 1)
        targets = attention @ peers
        hard = sum(functional.cross_entropy(each, labels) for each in logits)
        soft = sum(soft_term(peers[:, index], targets[:, index], 3.0) for index in range(members - 1))
        return hard + soft + soft_term(logits[-1], peers.mean(1), 3.0)

    return whole_step(student, loss, layout)


def alone(name, layout):
    student = build(name)
    return whole_step(student, lambda images, labels: functional.cross_entropy(student(images), labels), layout)


def epoch(name, layout, batch=128, pictures=50_000):
    """As many steps as an epoch of CIFAR-100 has, each on its own pictures, drawn in another order every epoch."""
    student = build(name).to(memory_format=layout).train()
    optimizer = optimizer_of(student)
    images = torch.randint(0, 256, (pictures, 3, 32, 32), dtype=torch.uint8)
    labels = labels_of(pictures)

    def step():
        order = torch.randperm(pictures)
        for first in range(0, pictures // batch * batch, batch):
            chosen = order[first : first + batch]
            optimizer.zero_grad(set_to_none=True)
            with autocast():
                loss = functional.cross_entropy(student(augmented(images[chosen], layout)), labels[chosen])
            loss.backward()
            optimizer.step()

    return step


# Row to what makes its step, given the layout.
ROWS = {
    "resnet20-train": lambda layout: training("resnet20", 128, layout),
    "resnet20-infer-128": lambda layout: inference("resnet20", 128, layout),
    "resnet20-infer-1": lambda layout: inference("resnet20", 1, layout),
    "kd-resnet56-resnet20": lambda layout: distillation("resnet56", "resnet20", layout),
    "one-3-resnet32": lambda layout: one(32, 3, layout),
    "okddip-4-resnet20": lambda layout: okddip(20, 4, layout),
    "resnet20-alone": lambda layout: alone("resnet20", layout),
    "one-2-resnet20": lambda layout: one(20, 2, layout),
    "one-4-resnet20": lambda layout: one(20, 4, layout),
    "one-8-resnet20": lambda layout: one(20, 8, layout),
    "resnet20-epoch": lambda layout: epoch("resnet20", layout),
    "wrn-16-2-train": lambda layout: training("wrn-16-2", 64, layout),
    "vgg8-train": lambda layout: training("vgg8", 64, layout),
    "mobilenetv2-train": lambda layout: training("mobilenetv2", 64, layout),
    "resnet8x4-train": lambda layout: training("resnet8x4", 64, layout),
}


def timed(step, steps, warmup):
    for _ in range(warmup):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", action="append", choices=ROWS, help="may be repeated; all of them unless given")
    parser.add_argument("--layout", choices=[*LAYOUTS, "both"], default="both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is autocast")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    global PRECISION
    PRECISION = arguments.precision
    for row in arguments.row or ROWS:
        for layout in LAYOUTS if arguments.layout == "both" else [arguments.layout]:
            seconds = timed(ROWS[row](LAYOUTS[layout]), arguments.steps, arguments.warmup)
            line = {
                "row": row,
                "layout": layout,
                "median_s": statistics.median(seconds),
                "min_s": min(seconds),
                "max_s": max(seconds),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "threads": arguments.threads,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
