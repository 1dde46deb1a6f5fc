"""Layers of PyTorch or ONNX Runtime, timed on request.

    python -c SCRIPT torch|onnxruntime THREADS

The version comes first. Then each request is a line on standard input, and each answer one on
standard output: `prepare {"cell": "lstm", "batch": ...}` builds a layer and says `ready`, or
`none` if it cannot; `sample N` takes N passes and says how many seconds they took.
"""

import json
import sys
import time

module, threads = sys.argv[1], int(sys.argv[2])


def torch_pass(shape):
    import torch

    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    layer = kinds[shape["cell"]](shape["input"], shape["hidden"])
    train = shape["mode"] == "train"
    x = torch.randn(shape["steps"], shape["batch"], shape["input"], requires_grad=train)
    if not train:

        def infer():
            with torch.inference_mode():
                layer(x)

        return infer
    d_output = torch.randn(shape["steps"], shape["batch"], shape["hidden"])

    def step():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        output, _ = layer(x)
        output.backward(d_output)

    return step


def onnx_pass(shape):
    import numpy
    import onnx
    import onnxruntime

    if shape["mode"] == "train":
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
    node = onnx.helper.make_node(
        shape["cell"].upper(), ["x", "W", "R", "B"], ["y"], hidden_size=hidden, **options
    )
    real, steps, batch = onnx.TensorProto.FLOAT, shape["steps"], shape["batch"]
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info("x", real, [steps, batch, size])],
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
    x = random.random((steps, batch, size), dtype=numpy.float32)
    return lambda: session.run(None, {"x": x})


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
        began = time.perf_counter()
        for _ in range(int(rest)):
            work()
        print(time.perf_counter() - began, flush=True)
