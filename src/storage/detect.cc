#include "storage/detect.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

/// The file to load when `names` holds a model of one format.
struct Recognizer {
  std::string_view format;
  std::string_view looks_for;  ///< for messages
  std::optional<std::string> (*find)(const std::vector<std::string>& names);
};

std::optional<std::string> FindOnnx(const std::vector<std::string>& names) {
  std::optional<std::string> only;
  for (const std::string& name : names) {
    if (name == "model.onnx") return name;
    if (!name.ends_with(".onnx") || name.starts_with('.')) continue;
    if (only) return std::nullopt;
    only = name;
  }
  return only;
}

constexpr Recognizer kRecognizers[] = {
    {"onnx", "model.onnx (or a single *.onnx)", FindOnnx},
};

}  // namespace

Result<Manifest> DetectModel(const std::string& directory, const std::string& format) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(directory));
  std::sort(names.begin(), names.end());
  std::vector<std::string> looked_for;
  std::vector<std::string> found;
  Manifest manifest;
  for (const Recognizer& recognizer : kRecognizers) {
    if (!format.empty() && format != recognizer.format) continue;
    looked_for.emplace_back(recognizer.looks_for);
    std::optional<std::string> file = recognizer.find(names);
    if (!file) continue;
    found.push_back(StrCat(*file, " (", recognizer.format, ")"));
    manifest.format = recognizer.format;
    manifest.model_file = *file;
  }
  if (found.size() == 1) return manifest;
  if (found.size() > 1) {
    return InvalidArgumentError(
        StrCat("several models are in one folder: ", HumanList(found), "; say which by `format`"));
  }
  if (looked_for.empty()) {
    return InvalidArgumentError(StrCat("the format \"", format,
                                       "\" cannot be recognised by its files; add a ",
                                       kManifestFileName));
  }
  return NotFoundError(StrCat("no model is recognised; looked for ", HumanList(looked_for)));
}

}  // namespace leadsman
