"""A SavedModel of three signatures with warm-up requests, written by TensorFlow and tensorflow-serving-api.

    make_warmup_model.py FOLDER     → FOLDER/1 (good), FOLDER/2 (one request is wrong), FOLDER/3 (the file is corrupt)
"""
import pathlib
import shutil
import sys

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

FOLDER = pathlib.Path(sys.argv[1])
REQUESTS = "assets.extra/tf_serving_warmup_requests"


class HalfPlusTwo(tf.Module):
    """Takes no zeros, as a model does that knows its categories: only the recorded requests can warm it up."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def predict(self, x):
        with tf.control_dependencies([tf.debugging.assert_positive(x)]):
            return {"y": x / 2 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def regress(self, examples):
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {"outputs": x / 2 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def classify(self, examples):
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {"scores": tf.stack([x, 1 - x], axis=1)}


def logs():
    def with_example(request, signature):
        request.model_spec.name = "half_plus_two"
        request.model_spec.signature_name = signature
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=[5.0]))
        request.input.example_list.examples.append(tf.train.Example(features=tf.train.Features(feature={"x": feature})))

    predict, classify, regress = (prediction_log_pb2.PredictionLog() for _ in range(3))
    predict.predict_log.request.model_spec.name = "half_plus_two"
    predict.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0, 5.0]))
    with_example(classify.classify_log.request, "classify")
    with_example(regress.regress_log.request, "regress")
    return [predict, classify, regress]


def write(folder, records):
    (folder / REQUESTS).parent.mkdir()
    with tf.io.TFRecordWriter(str(folder / REQUESTS)) as writer:
        for record in records:
            writer.write(record.SerializeToString())


module = HalfPlusTwo()
tf.saved_model.save(module, str(FOLDER / "1"), signatures={
    "serving_default": module.predict, "classify": module.classify, "regress": module.regress})
for version in ("2", "3"):
    shutil.copytree(FOLDER / "1", FOLDER / version)
good = logs()
write(FOLDER / "1", good)
wrong = prediction_log_pb2.PredictionLog()
wrong.CopyFrom(good[0])
wrong.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(["text"]))
write(FOLDER / "2", [good[0], wrong])
write(FOLDER / "3", good)
corrupt = bytearray((FOLDER / "3" / REQUESTS).read_bytes())
corrupt[20] ^= 1
(FOLDER / "3" / REQUESTS).write_bytes(corrupt)
