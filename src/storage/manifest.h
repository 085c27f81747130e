#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman {

/// The name of the file that makes a version folder complete. It is written last, by rename, so a
/// folder without it is still being copied.
inline constexpr const char* kManifestFileName = "manifest.json";

/// What a version folder holds:
///   {"schema_version": 1, "name": "digits", "version": 1, "format": "onnx", "model_file":
///   "model.onnx",
///    "signature": {"inputs":  [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
///                  "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}, …]},
///    "files": [{"path": "model.onnx", "size_bytes": 12345, "sha256": "…64 hex digits…"}],
///    "created_at": "2026-03-01T12:00:00Z", "metadata": {"any": "text"}}
struct Manifest {
  struct File {
    std::string path;  ///< relative, inside the folder, no ".."
    int64_t size_bytes = 0;
    std::string sha256;
  };
  std::string name;
  int64_t version = 0;
  std::string format;
  std::string model_file;
  Signature signature;  ///< may be empty: then the runtime's own is used; when given it must agree
                        ///< with the runtime's
  std::vector<File> files;
  std::string created_at;
  std::map<std::string, std::string> metadata;

  // Only of a model that was found by looking (storage/detect.h), not in the file.
  std::string reason;  ///< "model.onnx: an ONNX file"
  struct Alternative {
    std::string format;
    std::string model_file;
  };
  std::vector<Alternative> alternatives;  ///< for a machine without the runtime of `format`
};

/// Manifests longer than this are refused unread.
inline constexpr size_t kMaxManifestBytes = 1 << 20;

/// INVALID_ARGUMENT names the JSON field and what it should be. Unknown fields are errors.
Result<Manifest> ParseManifest(std::string_view json);
std::string ManifestToJson(const Manifest& manifest);

}  // namespace leadsman
