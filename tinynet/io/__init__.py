"""Networks and runs in files: tinynet's own, PyTorch's, ONNX."""
