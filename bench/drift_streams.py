"""Streams of scanned digits for ./dev bench drift: requests as they always were, and then something changes."""
import numpy as np
import onnxruntime
from scipy import ndimage

DOUBLED = 3  # the digit that comes twice as often


def _each(image_change):
    return lambda images: np.stack([image_change(image) for image in images.reshape(-1, 8, 8)]).reshape(-1, 64)


# What happens to the images from the change on; None: nothing.
IMAGES = {
    "none": None,
    "slight blur": _each(lambda image: ndimage.gaussian_filter(image, 0.4)),
    "blur": _each(lambda image: ndimage.gaussian_filter(image, 0.7)),
    "slight rotation": _each(lambda image: ndimage.rotate(image, 5, reshape=False, order=1)),
    "rotation": _each(lambda image: ndimage.rotate(image, 15, reshape=False, order=1)),
    "inversion": lambda images: 16 - images,
    "one class doubled": None,
}
WORDS = {
    "none": "nothing changes",
    "slight blur": "blur, σ 0.4 pixels",
    "blur": "blur, σ 0.7 pixels",
    "slight rotation": "rotation by 5°",
    "rotation": "rotation by 15°",
    "inversion": "inversion",
    "one class doubled": f"digit {DOUBLED} twice as often",
}


class Stream:
    """`before` and `after`: rows of 64 values; answers by the model beside each."""

    def __init__(self, case, seed, pool, labels, before, after, model):
        random = np.random.default_rng(seed)
        shares = np.where((labels == DOUBLED) & (case == "one class doubled"), 2.0, 1.0)
        first = random.integers(len(pool), size=before)
        later = random.choice(len(pool), size=after, p=shares / shares.sum())
        change = IMAGES[case]
        self.case, self.seed = case, seed
        self.before = pool[first].astype(np.float32)
        self.after = (change(pool[later]) if change else pool[later]).astype(np.float32)
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self.before_answers, self.after_answers = (
            session.run(["label"], {"x": rows})[0].astype(np.int64) for rows in (self.before, self.after))

    def save(self, path):
        np.savez(path, before=self.before, after=self.after, before_answers=self.before_answers,
                 after_answers=self.after_answers)
