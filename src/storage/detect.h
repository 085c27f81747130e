#pragma once

#include <string>

#include "base/status.h"
#include "storage/manifest.h"

namespace leadsman {

/// What stands in a version's folder that has no manifest.json, found by looking at its files.
///
/// `format` forces one of the formats below and may be empty. The manifest that comes back names format and
/// model_file only: it has no files to verify, and the signature is the runtime's own.
///   onnx   model.onnx, or the only *.onnx
/// NOT_FOUND when nothing is recognised (the message says what was looked for), INVALID_ARGUMENT when several formats
/// are. Looks at names, and reads no more than it must; blocks for that.
Result<Manifest> DetectModel(const std::string& directory, const std::string& format);

}  // namespace leadsman
