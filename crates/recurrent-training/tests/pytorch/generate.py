"""Writes what PyTorch computes with its RNN, LSTM and GRU: outputs, states, gradients, Adam steps.

Made with Python 3.11.7, torch 2.15.0 and numpy 2.4.6. To write the files beside this script:

    pip install torch==2.15.0 numpy==2.4.6
    python generate.py

One file a case, `{cell}_{layers}_{uni|bi}_{regular|packed}.txt`, everything in float64 on the CPU.
Lines starting with `#` are comments; then come the settings, `key value`, then the tensors: a name
and the numbers in PyTorch's row-major order, each the shortest text that reads back as the same
float64. `_s{s}` ends the names of what belongs to sequence s, in the caller's order.

Parameters, inputs, initial states, targets and the weights of the final states are not stored:
`number` below gives them all. The loss is

    0.5 * sum over sequences and real steps of (output - target)^2 + sum(h_n * v_h) + sum(c_n * v_c)
"""

import math
import platform
from itertools import product
from pathlib import Path

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

INPUT_SIZE = 2
HIDDEN_SIZE = 3
LENGTHS = {"regular": [4, 4, 4], "packed": [2, 5, 1, 4]}
CELLS = {
    "rnn_tanh": (torch.nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, {}),
    "lstm_proj": (torch.nn.LSTM, {"proj_size": 2}),
    "gru": (torch.nn.GRU, {}),
}
ADAM_STEPS = 10


def number(tensor, element):
    """The number at row-major position `element` of the tensor with this index."""
    return (((tensor + 1) * 7919 + (element + 1) * 104729) % 1000) / 1000 - 0.5


def numbers(tensor, shape, scale):
    """A whole tensor of such numbers, each times `scale`."""
    flat = [number(tensor, element) * scale for element in range(math.prod(shape))]
    return torch.tensor(flat, dtype=torch.float64).reshape(shape)


def line(name, values):
    """One line of a golden file."""
    flat = torch.as_tensor(values, dtype=torch.float64).flatten().tolist()
    assert all(map(math.isfinite, flat)), name
    return " ".join([name, *map(repr, flat)])


def write(path, comments, settings, tensors):
    lines = [f"# {comment}" for comment in comments]
    lines += [f"{key} {value}" for key, value in settings.items()]
    lines += [line(name, values) for name, values in tensors.items()]
    assert len({*settings, *tensors}) == len(settings) + len(tensors)
    path.write_text("\n".join(lines) + "\n", newline="\n")


def versions():
    return f"Python {platform.python_version()}, torch {torch.__version__}, float64 on the CPU"


class Case:
    """A network with its batch."""

    def __init__(self, cell, layers, directions, lengths):
        make, options = CELLS[cell]
        self.lengths = lengths
        self.packed = len(set(lengths)) > 1
        self.net = make(
            INPUT_SIZE, HIDDEN_SIZE, layers, bidirectional=directions == 2, **options
        ).double()
        with torch.no_grad():
            for index, parameter in enumerate(self.net.parameters()):
                parameter.copy_(numbers(index, parameter.shape, 1.6))

        batch, blocks = len(lengths), range(layers * directions)
        size_of_h = options.get("proj_size", HIDDEN_SIZE)

        def states(first, size):
            return torch.stack([numbers(first + k, (batch, size), 1.0) for k in blocks])

        self.xs = [numbers(1100 + s, (n, INPUT_SIZE), 2.0) for s, n in enumerate(lengths)]
        self.targets = [
            numbers(4490 + s, (n, directions * size_of_h), 1.0) for s, n in enumerate(lengths)
        ]
        self.h_0, self.v_h = states(2250, size_of_h), states(5610, size_of_h)
        self.c_0 = self.v_c = None
        if make is torch.nn.LSTM:
            self.c_0, self.v_c = states(3370, HIDDEN_SIZE), states(6730, HIDDEN_SIZE)
        for leaf in [*self.xs, self.h_0, self.c_0]:
            if leaf is not None:
                leaf.requires_grad_()

    def forward(self):
        """Outputs a sequence, h_n, c_n if there is one, and the loss."""
        state = self.h_0 if self.c_0 is None else (self.h_0, self.c_0)
        if self.packed:
            packed = pack_padded_sequence(
                pad_sequence(self.xs), torch.tensor(self.lengths), enforce_sorted=False
            )
            output, state = self.net(packed, state)
            output, lengths = pad_packed_sequence(output)
            assert lengths.tolist() == self.lengths
        else:
            output, state = self.net(torch.stack(self.xs, dim=1), state)
        h_n, c_n = (state, None) if self.c_0 is None else state
        outputs = [output[:n, s] for s, n in enumerate(self.lengths)]
        loss = sum(0.5 * ((y - t) ** 2).sum() for y, t in zip(outputs, self.targets))
        loss = loss + (h_n * self.v_h).sum()
        if c_n is not None:
            loss = loss + (c_n * self.v_c).sum()
        return outputs, h_n, c_n, loss

    def check_away_from_kinks(self):
        """Asserts that no pre-activation of a ReLU network is so near 0 that rounding decides."""
        parameters = {name: value.detach() for name, value in self.net.named_parameters()}
        suffixes = ["", "_reverse"] if self.net.bidirectional else [""]
        finals = torch.empty_like(self.h_0.detach())
        for s, x in enumerate(self.xs):
            below = x.detach()
            for layer in range(self.net.num_layers):
                above = []
                for direction, suffix in enumerate(suffixes):
                    w_ih, w_hh, b_ih, b_hh = (
                        parameters[f"{name}_l{layer}{suffix}"]
                        for name in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
                    )
                    block = layer * len(suffixes) + direction
                    h, hs = self.h_0.detach()[block, s], []
                    for step in below.flip(0) if direction else below:
                        a = w_ih @ step + b_ih + w_hh @ h + b_hh
                        assert a.abs().min() > 1e-6, (s, layer, suffix, a)
                        h = a.clamp(min=0)
                        hs.append(h)
                    finals[block, s] = h
                    above.append(torch.stack(hs[::-1] if direction else hs))
                below = torch.cat(above, dim=1)
        # Proves that these are the pre-activations of PyTorch's network.
        assert torch.allclose(finals, self.forward()[1].detach(), rtol=0, atol=1e-12)


def results(case, relu):
    """Everything that one file holds."""
    if relu:
        case.check_away_from_kinks()
    outputs, h_n, c_n, loss = case.forward()
    loss.backward()
    tensors = {f"output_s{s}": output.detach() for s, output in enumerate(outputs)}
    tensors["h_n"] = h_n.detach()
    if c_n is not None:
        tensors["c_n"] = c_n.detach()
    tensors["loss"] = loss.detach()
    for name, parameter in case.net.named_parameters():
        tensors[f"d_{name}"] = parameter.grad.clone()
    for s, x in enumerate(case.xs):
        tensors[f"d_x_s{s}"] = x.grad.clone()
    tensors["d_h_0"] = case.h_0.grad.clone()
    if c_n is not None:
        tensors["d_c_0"] = case.c_0.grad.clone()

    adam = torch.optim.Adam(case.net.parameters(), lr=0.01)
    losses = []
    for _ in range(ADAM_STEPS):
        adam.zero_grad()
        loss = case.forward()[3]
        losses.append(loss.item())
        loss.backward()
        for name, parameter in case.net.named_parameters():
            # Adam's steps have the size of the rate whatever the gradient's: noise would decide.
            size = parameter.grad.abs()
            assert ((size == 0) | (size > 1e-7)).all(), (name, size)
        adam.step()
        if relu:
            case.check_away_from_kinks()
    losses.append(case.forward()[3].item())
    tensors["adam_losses"] = losses
    for name, parameter in case.net.named_parameters():
        tensors[f"adam_{name}"] = parameter.detach()
    return tensors


def main():
    torch.set_num_threads(1)
    for cell, layers, directions, mode in product(CELLS, [1, 3], [1, 2], LENGTHS):
        case = Case(cell, layers, directions, LENGTHS[mode])
        settings = {"cell": cell, "input_size": INPUT_SIZE, "hidden_size": HIDDEN_SIZE}
        if "proj_size" in CELLS[cell][1]:
            settings["proj_size"] = CELLS[cell][1]["proj_size"]
        settings |= {
            "num_layers": layers,
            "directions": directions,
            "lengths": " ".join(map(str, case.lengths)),
        }
        tensors = results(case, relu=cell == "rnn_relu")
        comments = [
            f"torch.nn.{type(case.net).__name__}: outputs, final states, loss and gradients, then ten"
            " steps of Adam with rate 0.01.",
            f"Made by generate.py with {versions()}.",
        ]
        name = f"{cell}_{layers}_{['uni', 'bi'][directions - 1]}_{mode}.txt"
        write(Path(__file__).parent / name, comments, settings, tensors)


if __name__ == "__main__":
    main()
