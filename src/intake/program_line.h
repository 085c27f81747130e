#pragma once

#include <string_view>

#include "intake/log_format.h"

namespace leadsman::intake {

/// Reads a line that is no request: what a program says of itself. Sets level, time and, from level error on, the error's text.
/// Known are the line heads of gunicorn, uvicorn, Flask, Python's logging, MLflow, glog and absl (TensorFlow Serving, Triton),
/// nginx's error log and Envoy. kContinuation for lines of a stack trace, a table, or an indented rest; kOther otherwise, with
/// level kNone when the head is of no known kind.
Verdict ClassifyProgramLine(std::string_view line, TimeParser& time, LogRecord& record);

/// The text without terminal colours (ESC [ … m); `scratch` keeps it when there were any.
std::string_view WithoutColours(std::string_view text, std::string& scratch);

}  // namespace leadsman::intake
