inputs = [("x", "FP32", [-1, 2])
def predict(
