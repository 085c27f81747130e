#include "lifecycle/given_model.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "storage/store_uri.h"
#include "storage/triton_config.h"

namespace leadsman {
namespace {

constexpr size_t kMostFiles = 1'000;
constexpr size_t kLongestPath = 512;
constexpr size_t kLongestName = 200;

/// What is wrong with a file's path in the model's folder, or "".
std::string CheckPath(const std::string& path) {
  if (path.empty()) return "needs a path: file:1/model.onnx";
  if (path.size() > kLongestPath) return StrCat("is longer than ", kLongestPath, " bytes");
  if (path == kTritonConfigName) return "is what parameters.config is for";
  for (char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\')
      return "may not hold control characters or \\";
  }
  for (std::string_view step : Split(path, '/')) {
    if (step.empty() || step == "." || step == "..")
      return "must stay in the model's folder: no leading /, no empty name, no . and no ..";
    if (step.size() > kLongestName)
      return StrCat("has a name longer than ", kLongestName, " bytes");
  }
  return "";
}

Status Wrong(const std::string& path, std::string_view what) {
  return InvalidArgumentError(StrCat("parameters.file:", CutUtf8(path, 128), " ", what));
}

Status CheckFiles(const GivenModel& given) {
  if (given.files.size() > kMostFiles)
    return InvalidArgumentError(StrCat("parameters: more than ", kMostFiles, " files"));
  bool any_version = false;
  for (const auto& [path, content] : given.files) {
    if (std::string wrong = CheckPath(path); !wrong.empty()) return Wrong(path, wrong);
    const size_t slash = path.find('/');
    any_version = any_version || (slash != std::string::npos &&
                                  VersionNumber(std::string_view(path).substr(0, slash)) > 0);
    for (size_t at = slash; at != std::string::npos; at = path.find('/', at + 1)) {
      if (given.files.contains(path.substr(0, at)))
        return Wrong(path, StrCat("lies in file:", path.substr(0, at), ", which is a file, too"));
    }
  }
  if (any_version) return OkStatus();
  return Wrong(
      given.files.begin()->first,
      "is in no version's folder, nor is any other; a version's file is file:1/model.onnx");
}

}  // namespace

Status CheckGivenModel(const GivenModel& given) {
  if (!given.files.empty()) {
    RETURN_IF_ERROR(CheckFiles(given));
    if (!given.config) {
      return InvalidArgumentError(
          StrCat("parameters.config must be given with parameters.file:",
                 CutUtf8(given.files.begin()->first, 128),
                 ": it is the configuration of the model that the files make; {} says nothing"));
    }
  }
  if (!given.config) return OkStatus();
  return Annotate(ParseTritonConfigJson(*given.config, nullptr).status(), "parameters.config");
}

}  // namespace leadsman
