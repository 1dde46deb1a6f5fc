"""Layers of PyTorch or ONNX Runtime, timed on request.

    python -c SCRIPT torch|onnxruntime THREADS perf_counter|process_time

The version comes first. Then each request is a line on standard input, and each answer one on
standard output: `prepare {"cell": "lstm", "batch": ...}` builds a layer and says `ready`, or
`none` if it cannot; `sample N` takes N passes and says how many seconds they took.
"""

import json
import sys
import time

module, threads = sys.argv[1], int(sys.argv[2])
clock = getattr(time, sys.argv[3])


def torch_pass(shape):
    import torch

    if shape["mode"] in ("learn", "write"):
        return torch_model_pass(shape)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    layer = kinds[shape["cell"]](shape["input"], shape["hidden"])
    train = shape["mode"] == "train"
    x = torch.randn(shape["steps"], shape["batch"], shape["input"], requires_grad=train)
    # A state is given to all programs: ONNX Runtime's RNN leaves out the first step's recurrent
    # product where there is none, which is the whole of a row of one step.
    # Our training gives its gradient, too.
    states = [
        torch.zeros(1, shape["batch"], shape["hidden"], requires_grad=train)
        for _ in range(2 if shape["cell"] == "lstm" else 1)
    ]
    state = tuple(states) if shape["cell"] == "lstm" else states[0]
    if not train:

        def infer():
            with torch.inference_mode():
                layer(x, state)

        return infer
    d_output = torch.randn(shape["steps"], shape["batch"], shape["hidden"])

    def step():
        layer.zero_grad(set_to_none=True)
        for given in (x, *states):
            given.grad = None
        output, _ = layer(x, state)
        output.backward(d_output)

    return step


def torch_model_pass(shape):
    import torch

    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    size, hidden, steps, vocabulary = shape["input"], shape["hidden"], shape["steps"], 65
    embedding = torch.nn.Embedding(vocabulary, size)
    layer = kinds[shape["cell"]](size, hidden)
    readout = torch.nn.Linear(hidden, vocabulary)
    if shape["mode"] == "write":

        def write():
            with torch.inference_mode():
                token, state = torch.zeros(1, 1, dtype=torch.long), None
                for _ in range(steps):
                    output, state = layer(embedding(token), state)
                    token = torch.multinomial(torch.softmax(readout(output[0]), -1), 1)

        return write
    parameters = [p for part in (embedding, layer, readout) for p in part.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.002, fused=True)
    tokens = torch.randint(vocabulary, (steps + 1, shape["batch"]))
    state = None

    def learn():
        nonlocal state
        optimizer.zero_grad(set_to_none=True)
        output, last = layer(embedding(tokens[:-1]), state)
        state = tuple(s.detach() for s in last) if isinstance(last, tuple) else last.detach()
        logits = readout(output).reshape(-1, vocabulary)
        torch.nn.functional.cross_entropy(logits, tokens[1:].reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return learn


def onnx_pass(shape):
    import numpy
    import onnx
    import onnxruntime

    if shape["mode"] != "infer":
        return None
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[shape["cell"]]
    hidden, size = shape["hidden"], shape["input"]
    random = numpy.random.default_rng(1)

    def weight(name, *dimensions):
        values = (random.random(dimensions, dtype=numpy.float32) - 0.5) / hidden**0.5
        return onnx.numpy_helper.from_array(values, name)

    weights = [
        weight("W", 1, gates * hidden, size),
        weight("R", 1, gates * hidden, hidden),
        weight("B", 1, 2 * gates * hidden),
    ]
    # linear_before_reset is PyTorch's form of the GRU, and the faster one.
    options = {"linear_before_reset": 1} if shape["cell"] == "gru" else {}
    real, steps, batch = onnx.TensorProto.FLOAT, shape["steps"], shape["batch"]
    states = ["h", "c"] if shape["cell"] == "lstm" else ["h"]
    # The empty name stands for the lengths, which are all equal.
    inputs = ["x", "W", "R", "B", "", *states]
    node = onnx.helper.make_node(
        shape["cell"].upper(), inputs, ["y"], hidden_size=hidden, **options
    )
    sizes = {"x": [steps, batch, size]} | {name: [1, batch, hidden] for name in states}
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info(name, real, of) for name, of in sizes.items()],
        [onnx.helper.make_tensor_value_info("y", real, [steps, 1, batch, hidden])],
        weights,
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    given = {name: numpy.zeros(of, dtype=numpy.float32) for name, of in sizes.items()}
    given["x"] = random.random(sizes["x"], dtype=numpy.float32)
    return lambda: session.run(None, given)


if module == "torch":
    import torch

    torch.set_num_threads(threads)
    make, version = torch_pass, torch.__version__
else:
    import onnx
    import onnxruntime

    make, version = onnx_pass, onnxruntime.__version__
print(version, flush=True)
work = None
for line in sys.stdin:
    request, _, rest = line.partition(" ")
    if request == "prepare":
        work = make(json.loads(rest))
        print("ready" if work else "none", flush=True)
    else:
        began = clock()
        for _ in range(int(rest)):
            work()
        print(clock() - began, flush=True)
