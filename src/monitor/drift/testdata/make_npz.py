"""Makes npz.inc: archives as NumPy writes them, for reference_file_test.cc. Run with any Python that has NumPy."""
import base64
import io
import sys

import numpy

table = (numpy.arange(24) / 2).reshape(4, 2, 3)
archives = {
    "kPlainNpz": (numpy.savez, {"x": table.astype("float64"), "other": numpy.zeros((2, 2), "float32")}),
    "kCompressedNpz": (numpy.savez_compressed, {"x": table.astype("float32"), "y": numpy.arange(4)}),
    "kIntegerNpz": (numpy.savez, {"pixels": numpy.arange(-3, 3, dtype="int8").reshape(3, 2), "target": numpy.arange(3)}),
    "kPickledNpz": (numpy.savez, {"x": numpy.array([["a", None]], dtype=object)}),
}
print(f"// Made by make_npz.py with NumPy {numpy.__version__}.")
for name, (save, arrays) in archives.items():
    out = io.BytesIO()
    save(out, **arrays)
    print(f"constexpr std::string_view {name} =")
    text = base64.b64encode(out.getvalue()).decode()
    lines = [text[i : i + 88] for i in range(0, len(text), 88)]
    for line in lines:
        print(f'    "{line}"' + (";" if line is lines[-1] else ""))
sys.stdout.flush()
