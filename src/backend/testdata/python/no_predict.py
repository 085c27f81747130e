"""What cannot be served: nothing predicts."""
inputs = [("x", "FP32", [-1, 2])]
outputs = [("y", "FP32", [-1, 3])]
