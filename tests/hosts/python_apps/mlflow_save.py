"""Saves the benchmark's MLP as an MLflow model: mlflow_save.py FOLDER"""
import os
import sys

import mlflow
import onnx

mlflow.onnx.save_model(onnx.load(os.environ["MLP"]), sys.argv[1], pip_requirements=[])
