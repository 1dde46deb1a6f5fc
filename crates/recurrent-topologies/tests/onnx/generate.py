"""Writes what ONNX Runtime computes with the options that PyTorch lacks.

They are peepholes, a coupled forget gate, clipped pre-activations, a GRU that resets before its
product.

Made with Python 3.11.7, numpy 2.4.6, onnx 1.23.2, onnxruntime 1.32.0 and torch 2.15.0. To write the
files beside this script:

    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 torch==2.15.0
    python generate.py

One file a case. Lines starting with `#` are comments; then come the settings, `key value`, then the
tensors: a name and the numbers in row-major order, each the shortest text that reads back as the
same float64. `_s{s}` ends the names of what belongs to sequence s, in the caller's order.

ONNX Runtime computes in float32 and nothing else: `output_s{s}`, `h_n` and `c_n` are its numbers.
The same equations stand below twice, as scalars in numpy and as vectors in PyTorch, both in
float64. The script asserts that the scalars agree with ONNX Runtime to 1e-6 and the vectors with
the scalars to 1e-12, and that equations which one might take for them are refuted. PyTorch then
gives `output64_s{s}`, `h_n64`, `c_n64`, `loss` and the gradients `d_...`.

Parameters, inputs, initial states, targets and the weights of the final states are not stored:
`number` below gives them all. Names, shapes and the order of rows are PyTorch's (LSTM i f g o,
coupled i g o; GRU r z n), and `weight_peephole` is a vector with the rows i f o, coupled i o. The
loss is

    0.5 * sum over sequences and real steps of (output - target)^2 + sum(h_n * v_h) + sum(c_n * v_c)
"""

import math
import platform
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

INPUT_SIZE = 2
HIDDEN_SIZE = 3
LENGTHS = [2, 5, 1, 4]
OPSET = 22
DEFAULTS = {"direction": "bidirectional", "peephole": False, "coupled": False, "reset": None}
CASES = {
    "lstm_peephole": {"cell": "lstm", "peephole": True},
    "lstm_peephole_reverse": {"cell": "lstm", "peephole": True, "direction": "reverse"},
    "lstm_coupled": {"cell": "lstm", "coupled": True},
    "lstm_clip": {"cell": "lstm", "clip": 0.6},
    "lstm_peephole_coupled_clip": {"cell": "lstm", "peephole": True, "coupled": True, "clip": 0.6},
    "gru_reset_before": {"cell": "gru", "reset": "before"},
    "gru_reset_before_clip": {"cell": "gru", "reset": "before", "clip": 0.6},
    "gru_reset_after_clip": {"cell": "gru", "reset": "after", "clip": 0.6},
    "rnn_tanh_clip": {"cell": "rnn_tanh", "clip": 0.6},
}


def number(tensor, element):
    """The number at row-major position `element` of the tensor with this index."""
    return (((tensor + 1) * 7919 + (element + 1) * 104729) % 1000) / 1000 - 0.5


def numbers(tensor, shape, scale):
    """A whole tensor of such numbers, each times `scale`."""
    flat = [number(tensor, element) * scale for element in range(math.prod(shape))]
    return np.array(flat).reshape(shape)


class Case:
    """A layer with its batch, as float64 arrays."""

    def __init__(self, cell, direction, peephole, coupled, reset, clip=None):
        self.cell, self.direction, self.clip = cell, direction, clip
        self.peephole, self.coupled, self.reset = peephole, coupled, reset
        self.has_c = cell == "lstm"
        self.gates = {"lstm": "igo" if coupled else "ifgo", "gru": "rzn", "rnn_tanh": "h"}[cell]
        self.peepholes = ("io" if coupled else "ifo") if peephole else ""
        self.suffixes = ["", "_reverse"] if direction == "bidirectional" else [""]

        rows = len(self.gates) * HIDDEN_SIZE
        shapes = {"weight_ih": (rows, INPUT_SIZE), "weight_hh": (rows, HIDDEN_SIZE)}
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if peephole:
            shapes["weight_peephole"] = (len(self.peepholes) * HIDDEN_SIZE,)
        # One dictionary a direction.
        self.parameters = [
            {
                name: numbers(d * len(shapes) + index, shape, 1.6)
                for index, (name, shape) in enumerate(shapes.items())
            }
            for d in range(len(self.suffixes))
        ]

        def states(first):
            shape = (len(LENGTHS), HIDDEN_SIZE)
            return np.stack([numbers(first + d, shape, 1.0) for d in range(len(self.suffixes))])

        width = len(self.suffixes) * HIDDEN_SIZE
        self.xs = [numbers(1100 + s, (n, INPUT_SIZE), 2.0) for s, n in enumerate(LENGTHS)]
        self.targets = [numbers(4490 + s, (n, width), 1.0) for s, n in enumerate(LENGTHS)]
        self.h_0, self.c_0, self.v_h, self.v_c = map(states, [2250, 3370, 5610, 6730])

    def runs_backwards(self, d):
        return self.direction == "reverse" or d == 1


# The scalars: numpy, one unit after the other.


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


def scalar_step(case, p, x, h, c, wrong, seen):
    """One step; `wrong` names a wrong equation to take, `seen` collects what is clipped."""
    size = HIDDEN_SIZE
    h_new, c_new = np.zeros(size), np.zeros(size)

    def clipped(a):
        if case.clip is None:
            return a
        seen.append(a)
        return max(-case.clip, min(case.clip, a))

    def bounded(products, bias, peephole=0.0):
        if wrong == "clip without biases":
            return clipped(products + peephole) + bias
        if wrong == "clip without peepholes":
            return clipped(products + bias) + peephole
        return clipped(products + bias + peephole)

    def row(gate, j):
        return case.gates.index(gate) * size + j

    def pre_activation(gate, j, peephole=0.0):
        k = row(gate, j)
        products = p["weight_ih"][k] @ x + p["weight_hh"][k] @ h
        return bounded(products, p["bias_ih"][k] + p["bias_hh"][k], peephole)

    def peep(gate, j, c):
        if not case.peephole:
            return 0.0
        return p["weight_peephole"][case.peepholes.index(gate) * size + j] * c[j]

    for j in range(size):
        if case.cell == "lstm":
            i = sigmoid(pre_activation("i", j, peep("i", j, c)))
            if case.coupled:
                f = 1 - i
            else:
                f = sigmoid(pre_activation("f", j, peep("f", j, c)))
            g = math.tanh(pre_activation("g", j))
            c_new[j] = f * c[j] + i * g
            if wrong == "clip of the kept c":
                c_new[j] = clipped(c_new[j])
            o_sees = c if wrong == "output gate sees the old c" else c_new
            o = sigmoid(pre_activation("o", j, peep("o", j, o_sees)))
            in_tanh = clipped(c_new[j]) if wrong == "clip of c in tanh" else c_new[j]
            h_new[j] = o * math.tanh(in_tanh)
        elif case.cell == "gru":
            z = sigmoid(pre_activation("z", j))
            k = row("n", j)
            own = p["weight_ih"][k] @ x
            r = [sigmoid(pre_activation("r", unit)) for unit in range(size)]
            if (case.reset == "after") != (wrong == "the other reset"):
                carried, bias = r[j] * (p["weight_hh"][k] @ h), r[j] * p["bias_hh"][k]
            else:
                carried, bias = p["weight_hh"][k] @ (r * h), p["bias_hh"][k]
            n = math.tanh(bounded(own + carried, p["bias_ih"][k] + bias))
            h_new[j] = (1 - z) * n + z * h[j]
        else:
            h_new[j] = math.tanh(pre_activation("h", j))
    return h_new, c_new


def scalar_run(case, wrong=None):
    """Outputs a sequence, h_n, c_n, and every number that went into the clip."""
    outputs = [np.zeros((n, len(case.suffixes), HIDDEN_SIZE)) for n in LENGTHS]
    h_n, c_n, seen = np.zeros_like(case.h_0), np.zeros_like(case.c_0), []
    for d, p in enumerate(case.parameters):
        for s, x in enumerate(case.xs):
            h, c = case.h_0[d, s], case.c_0[d, s]
            steps = range(len(x))
            for t in reversed(steps) if case.runs_backwards(d) else steps:
                h, c = scalar_step(case, p, x[t], h, c, wrong, seen)
                outputs[s][t, d] = h
            h_n[d, s], c_n[d, s] = h, c
    return [y.reshape(len(y), -1) for y in outputs], h_n, c_n, seen


# The vectors: PyTorch, for the gradients.


def vector_step(case, p, x, h, c):
    def clipped(a):
        return a if case.clip is None else a.clamp(-case.clip, case.clip)

    own = dict(zip(case.gates, (p["weight_ih"] @ x + p["bias_ih"]).split(HIDDEN_SIZE)))
    carried = dict(zip(case.gates, (p["weight_hh"] @ h + p["bias_hh"]).split(HIDDEN_SIZE)))
    a = {gate: own[gate] + carried[gate] for gate in case.gates}
    if case.cell == "rnn_tanh":
        return torch.tanh(clipped(a["h"])), c
    if case.cell == "gru":
        r, z = torch.sigmoid(clipped(a["r"])), torch.sigmoid(clipped(a["z"]))
        if case.reset == "after":
            n = torch.tanh(clipped(own["n"] + r * carried["n"]))
        else:
            w_hn, b_hn = (p[name][-HIDDEN_SIZE:] for name in ["weight_hh", "bias_hh"])
            n = torch.tanh(clipped(own["n"] + w_hn @ (r * h) + b_hn))
        return (1 - z) * n + z * h, c
    peep = dict.fromkeys("ifo", 0.0)
    if case.peephole:
        peep |= zip(case.peepholes, p["weight_peephole"].split(HIDDEN_SIZE))
    i = torch.sigmoid(clipped(a["i"] + peep["i"] * c))
    f = 1 - i if case.coupled else torch.sigmoid(clipped(a["f"] + peep["f"] * c))
    c = f * c + i * torch.tanh(clipped(a["g"]))
    o = torch.sigmoid(clipped(a["o"] + peep["o"] * c))
    return o * torch.tanh(c), c


def vector_run(case):
    """Outputs a sequence, h_n, c_n, and the loss with its gradients by name."""

    def leaf(array):
        return torch.tensor(array, requires_grad=True)

    parameters = [{name: leaf(value) for name, value in p.items()} for p in case.parameters]
    xs, h_0, c_0 = [leaf(x) for x in case.xs], leaf(case.h_0), leaf(case.c_0)
    outputs, h_n, c_n = [[] for _ in xs], [], []
    for d, p in enumerate(parameters):
        for s, x in enumerate(xs):
            h, c, hs = h_0[d, s], c_0[d, s], []
            for step in x.flip(0) if case.runs_backwards(d) else x:
                h, c = vector_step(case, p, step, h, c)
                hs.append(h)
            outputs[s].append(torch.stack(hs[::-1] if case.runs_backwards(d) else hs))
            h_n.append(h)
            c_n.append(c)
    outputs = [torch.cat(ys, dim=1) for ys in outputs]
    h_n, c_n = (torch.stack(states).reshape(h_0.shape) for states in [h_n, c_n])
    loss = sum(0.5 * ((y - torch.tensor(t)) ** 2).sum() for y, t in zip(outputs, case.targets))
    loss = loss + (h_n * torch.tensor(case.v_h)).sum()
    if case.has_c:
        loss = loss + (c_n * torch.tensor(case.v_c)).sum()
    loss.backward()

    backward = {"loss": loss.detach()}
    for p, suffix in zip(parameters, case.suffixes):
        backward |= {f"d_{name}_l0{suffix}": value.grad for name, value in p.items()}
    backward |= {f"d_x_s{s}": x.grad for s, x in enumerate(xs)}
    backward["d_h_0"] = h_0.grad
    if case.has_c:
        backward["d_c_0"] = c_0.grad
    outputs = [y.detach().numpy() for y in outputs]
    return outputs, h_n.detach().numpy(), c_n.detach().numpy(), backward


# ONNX Runtime.


def onnx_run(case, ignored):
    """Outputs a sequence, h_n, c_n; `ignored` fills the rows of a gate that is not there."""

    def blocks(array, ours, theirs):
        fill = np.full((HIDDEN_SIZE, *array.shape[1:]), ignored)
        parts = dict(zip(ours, np.split(array, len(ours))))
        return np.concatenate([parts.get(gate, fill) for gate in theirs])

    def weights(name, ours, theirs):
        return np.stack([blocks(p[name], ours, theirs) for p in case.parameters])

    # ONNX's orders in our letters: its c is our g, its GRU's h our n.
    ops = {"lstm": ("LSTM", "iofg"), "gru": ("GRU", "zrn"), "rnn_tanh": ("RNN", "h")}
    op, order = ops[case.cell]
    biases = [weights(name, case.gates, order) for name in ["bias_ih", "bias_hh"]]
    x = np.full((max(LENGTHS), len(LENGTHS), INPUT_SIZE), 9.0)
    for s, sequence in enumerate(case.xs):
        x[: len(sequence), s] = sequence
    feeds = {
        "X": x,
        "W": weights("weight_ih", case.gates, order),
        "R": weights("weight_hh", case.gates, order),
        "B": np.concatenate(biases, axis=1),
        "sequence_lens": np.array(LENGTHS, dtype=np.int32),
        "initial_h": case.h_0,
    }
    attributes = {"direction": case.direction, "hidden_size": HIDDEN_SIZE}
    if case.cell == "lstm":
        feeds["initial_c"] = case.c_0
        attributes["input_forget"] = int(case.coupled)
        if case.peephole:
            feeds["P"] = weights("weight_peephole", case.peepholes, "iof")
    if case.cell == "gru":
        attributes["linear_before_reset"] = int(case.reset == "after")
    if case.clip is not None:
        attributes["clip"] = case.clip
    feeds = {
        name: value if value.dtype == np.int32 else value.astype(np.float32)
        for name, value in feeds.items()
    }

    names = ["Y", "Y_h", "Y_c"][: 2 + case.has_c]
    directions, batch, size = case.h_0.shape
    shapes = dict.fromkeys(names, (directions, batch, size))
    shapes["Y"] = (max(LENGTHS), directions, batch, size)
    node = onnx.helper.make_node(op, list(feeds), names, **attributes)
    proto = onnx.TensorProto
    types = {np.dtype(np.float32): proto.FLOAT, np.dtype(np.int32): proto.INT32}
    value_info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [value_info(name, types[value.dtype], value.shape) for name, value in feeds.items()],
        [value_info(name, proto.FLOAT, shapes[name]) for name in names],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model_gen_version(graph, opset_imports=opsets)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    y, *states = session.run(names, feeds)
    outputs = [y[:n, :, s].reshape(n, -1) for s, n in enumerate(LENGTHS)]
    return outputs, states[0], states[1] if case.has_c else None


# Checks, and the files.


def distance(case, one, other):
    """The largest difference between two results (outputs, h_n, c_n)."""
    pairs = [*zip(one[0], other[0]), (one[1], other[1])]
    if case.has_c:
        pairs.append((one[2], other[2]))
    return max(np.abs(a - b).max() for a, b in pairs)


def wrong_equations(case):
    if case.clip is not None:
        yield "clip without biases"
        # A coupled c is a mean of numbers that are all below the clip.
        if case.has_c and not case.coupled:
            yield from ["clip of the kept c", "clip of c in tanh"]
        if case.peephole:
            yield "clip without peepholes"
    if case.peephole:
        yield "output gate sees the old c"
    if case.cell == "gru":
        yield "the other reset"


def results(name, case):
    """Everything that one file holds, checked."""
    runtime = onnx_run(case, ignored=0.25)
    if case.coupled:
        assert distance(case, runtime, onnx_run(case, ignored=-7.0)) == 0, name
    *scalars, seen = scalar_run(case)
    *vectors, backward = vector_run(case)
    report = [f"ONNX Runtime {distance(case, scalars, runtime):.1e}"]
    report.append(f"vectors {distance(case, scalars, vectors):.1e}")
    assert distance(case, scalars, runtime) < 1e-6, (name, report)
    assert distance(case, scalars, vectors) < 1e-12, (name, report)
    if case.clip is not None:
        seen = np.abs(seen)
        share = np.mean(seen > case.clip)
        report.append(f"clipped {share:.0%}")
        assert 0.1 < share < 0.9, (name, share)
        # No rounding may decide on which side of the clip a number is.
        assert np.abs(seen - case.clip).min() > 1e-6, name
    for wrong in wrong_equations(case):
        far = distance(case, scalar_run(case, wrong), runtime)
        report.append(f"{wrong} {far:.1e}")
        assert far > 1e-3, (name, wrong, far)
    print(f"{name}: distances: {', '.join(report)}")

    tensors = {}
    for end, (outputs, h_n, c_n) in [("", runtime), ("64", vectors)]:
        tensors |= {f"output{end}_s{s}": output for s, output in enumerate(outputs)}
        tensors[f"h_n{end}"] = h_n
        if case.has_c:
            tensors[f"c_n{end}"] = c_n
    return tensors | backward


def line(name, values):
    """One line of a golden file."""
    flat = np.asarray(values, dtype=np.float64).flatten().tolist()
    assert all(map(math.isfinite, flat)), name
    return " ".join([name, *map(repr, flat)])


def main():
    torch.set_num_threads(1)
    for name, options in CASES.items():
        options = DEFAULTS | options
        case = Case(**options)
        settings = {
            "cell": case.cell,
            "input_size": INPUT_SIZE,
            "hidden_size": HIDDEN_SIZE,
            "num_layers": 1,
            "directions": len(case.suffixes),
            "direction": case.direction,
            "lengths": " ".join(map(str, LENGTHS)),
        }
        if case.cell == "lstm":
            settings["peephole"] = str(case.peephole).lower()
            settings["coupled"] = str(case.coupled).lower()
        if case.cell == "gru":
            settings["reset"] = case.reset
        if case.clip is not None:
            settings["clip"] = case.clip
        tensors = results(name, case)
        assert len({*settings, *tensors}) == len(settings) + len(tensors)
        lines = [
            "# ONNX Runtime in float32; the same equations and their gradients in float64.",
            f"# Made by generate.py with Python {platform.python_version()},"
            f" onnx {onnx.__version__} (opset {OPSET}), onnxruntime {onnxruntime.__version__},"
            f" torch {torch.__version__}.",
            *[f"{key} {value}" for key, value in settings.items()],
            *[line(tensor, values) for tensor, values in tensors.items()],
        ]
        path = Path(__file__).parent / f"{name}.txt"
        path.write_text("\n".join(lines) + "\n", newline="\n")


if __name__ == "__main__":
    main()
