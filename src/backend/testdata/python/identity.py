"""Gives back what it gets: what is left is the cost of the way to a worker and back."""
inputs = [("x", "FP32", [-1, 784])]
outputs = [("y", "FP32", [-1, 784])]


def predict(state, inputs):
    return inputs["x"]
