"""y = x W, and a word for each row."""
import numpy as np

inputs = [("x", "FP32", [-1, 2])]
outputs = [("y", "FP32", [-1, 3]), ("word", "STRING", [-1])]

WEIGHTS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def predict(state, inputs):
    y = inputs["x"] @ WEIGHTS
    return {"y": y, "word": ["großes" if total > 10 else "" for total in y.sum(axis=1)]}
