#include "storage/detect.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <span>
#include <utility>

#include "base/config_node.h"
#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr const char* kMlmodel = "MLmodel";
constexpr size_t kMaxMlmodelBytes = 1 << 20;
constexpr size_t kHeadBytes = 4096;

/// A folder as the recognisers see it.
struct Folder {
  std::string directory;
  std::vector<std::string> names;  ///< sorted, without hidden ones

  bool Has(std::string_view name) const {
    return std::binary_search(names.begin(), names.end(), name);
  }
  bool HasFile(std::string_view name) const {
    std::error_code error;
    return std::filesystem::is_regular_file(JoinPath(directory, name), error);
  }
  /// The first bytes of a file; empty when it cannot be read.
  std::string Head(std::string_view name) const {
    int fd = open(JoinPath(directory, name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return "";
    std::string head(kHeadBytes, '\0');
    ssize_t n = HasFile(name) ? read(fd, head.data(), head.size()) : 0;
    close(fd);
    head.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    return head;
  }
};

/// One way to find a format's file.
struct Recognizer {
  std::string_view format;
  std::string_view looks_for;  ///< for messages
  /// The files that could be it, one when it is clear; why, for people.
  std::vector<std::string> (*find)(const Folder& folder);
  std::string_view reason;
};

/// model<ending> when it is there, else all files with one of the endings.
std::vector<std::string> ByEnding(const Folder& folder, std::span<const std::string_view> endings,
                                  const std::function<bool(const std::string&)>& accept) {
  std::vector<std::string> found;
  for (std::string_view ending : endings) {
    std::string usual = StrCat("model", ending);
    if (folder.HasFile(usual) && accept(usual)) return {usual};
  }
  for (const std::string& name : folder.names) {
    bool fits = std::any_of(endings.begin(), endings.end(),
                            [&](std::string_view ending) { return name.ends_with(ending); });
    if (fits && folder.HasFile(name) && accept(name)) found.push_back(name);
  }
  return found;
}

bool Anything(const std::string&) { return true; }

std::vector<std::string> FindMlflow(const Folder& folder) {
  if (folder.HasFile(kMlmodel)) return {kMlmodel};
  return {};
}

std::vector<std::string> FindOnnx(const Folder& folder) {
  // With its weights in files of their own, Triton takes a folder of that name.
  if (folder.HasFile("model.onnx/model.onnx")) return {"model.onnx/model.onnx"};
  constexpr std::string_view kEndings[] = {".onnx"};
  return ByEnding(folder, kEndings, Anything);
}

std::vector<std::string> FindSavedModel(const Folder& folder) {
  for (const char* file : {"saved_model.pb", "saved_model.pbtxt", "model.savedmodel/saved_model.pb",
                           "model.savedmodel/saved_model.pbtxt"}) {
    if (folder.HasFile(file)) return {file};
  }
  return {};
}

std::vector<std::string> FindXgboost(const Folder& folder) {
  constexpr std::string_view kEndings[] = {".json", ".ubj", ".xgb", ".bst"};
  return ByEnding(folder, kEndings, [&](const std::string& name) {
    if (name.ends_with(".json")) return detect_internal::LooksLikeXgboostJson(folder.Head(name));
    if (name.ends_with(".ubj")) return detect_internal::LooksLikeXgboostUbjson(folder.Head(name));
    return true;  // also the binary form of old, which has no mark
  });
}

std::vector<std::string> FindLightgbm(const Folder& folder) {
  constexpr std::string_view kEndings[] = {".txt", ".lgb"};
  return ByEnding(folder, kEndings, [&](const std::string& name) {
    return detect_internal::LooksLikeLightgbm(folder.Head(name));
  });
}

std::vector<std::string> FindSklearn(const Folder& folder) {
  constexpr std::string_view kEndings[] = {".pkl", ".pickle", ".joblib"};
  return ByEnding(folder, kEndings, Anything);
}

std::vector<std::string> FindKeras(const Folder& folder) {
  constexpr std::string_view kEndings[] = {".keras", ".h5"};
  return ByEnding(folder, kEndings, [&](const std::string& name) {
    std::string head = folder.Head(name);
    return head.starts_with("PK\x03\x04") || head.starts_with("\x89HDF\r\n\x1a\n");
  });
}

std::vector<std::string> FindPython(const Folder& folder) {
  if (folder.HasFile("model.py")) return {"model.py"};
  return {};
}

constexpr Recognizer kRecognizers[] = {
    {"mlflow", "MLmodel", FindMlflow, "a folder saved by MLflow"},
    {"onnx", "model.onnx (or a single *.onnx)", FindOnnx, "an ONNX file"},
    {"tensorflow", "saved_model.pb", FindSavedModel, "a TensorFlow SavedModel"},
    {"xgboost", "model.json, model.ubj, model.xgb or model.bst of XGBoost", FindXgboost,
     "an XGBoost model"},
    {"lightgbm", "model.txt of LightGBM", FindLightgbm, "a LightGBM model"},
    {"sklearn", "model.pkl or model.joblib", FindSklearn, "a pickled estimator"},
    {"keras", "model.keras or model.h5", FindKeras, "a Keras model"},
    {"python", "model.py", FindPython, "a Python script with load and predict"},
};

struct Found {
  const Recognizer* by;
  std::vector<std::string> files;
};

std::string Describe(const std::vector<Found>& found) {
  std::vector<std::string> words;
  for (const Found& one : found) words.push_back(StrCat(one.files[0], " (", one.by->format, ")"));
  return HumanList(words);
}

/// Files that another one speaks for are its data.
void DropData(std::vector<Found>& found) {
  auto has = [&](std::string_view format) {
    return std::any_of(found.begin(), found.end(),
                       [&](const Found& one) { return one.by->format == format; });
  };
  if (has("mlflow")) {
    std::erase_if(found, [](const Found& one) { return one.by->format != "mlflow"; });
  } else if (has("python")) {
    std::erase_if(found, [](const Found& one) {
      return one.by->format == "sklearn" || one.by->format == "keras";
    });
  }
}

Status AddNativeFlavor(const std::string& directory, Manifest& manifest) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(JoinPath(directory, kMlmodel), kMaxMlmodelBytes));
  ASSIGN_OR_RETURN(std::optional<detect_internal::NativeFlavor> native,
                   detect_internal::NativeFlavorOf(text));
  if (!native) return OkStatus();
  std::error_code error;
  if (!std::filesystem::is_regular_file(JoinPath(directory, native->model_file), error))
    return OkStatus();
  manifest.alternatives.push_back({native->format, native->model_file});
  return OkStatus();
}

/// With `file` nothing is guessed but the format, which the recogniser whose file it is knows.
Result<Manifest> DetectNamed(const Folder& folder, const std::string& format,
                             const std::string& file) {
  bool inside = !file.starts_with('/') && StrCat("/", file, "/").find("/../") == std::string::npos;
  if (!inside)
    return InvalidArgumentError(StrCat("the model's file ", file, " must lie in its folder"));
  std::error_code error;
  if (!std::filesystem::exists(JoinPath(folder.directory, file), error))
    return NotFoundError(StrCat("the folder has no ", file));
  if (IsDirectory(JoinPath(folder.directory, file))) {
    // A SavedModel, or an ONNX model with its weights beside it.
    ASSIGN_OR_RETURN(Manifest inside, DetectModel(JoinPath(folder.directory, file), format));
    inside.model_file = JoinPath(file, inside.model_file);
    inside.reason = StrCat(file, ", as configured");
    inside.alternatives.clear();
    return inside;
  }
  Manifest manifest;
  manifest.model_file = file;
  manifest.format = format;
  manifest.reason = StrCat(file, ", as configured");
  if (!format.empty()) return manifest;
  Folder only{folder.directory, {file}};
  for (const Recognizer& recognizer : kRecognizers) {
    std::vector<std::string> files = recognizer.find(only);
    if (std::find(files.begin(), files.end(), file) != files.end()) {
      manifest.format = recognizer.format;
      return manifest;
    }
  }
  return InvalidArgumentError(
      StrCat("what ", file, " is cannot be seen by its name; give its `format`"));
}

/// For an error: a file of the right name with another content is no model.
std::string WhatIsThere(const std::vector<std::string>& names) {
  constexpr size_t kNamesTold = 5;
  std::string list;
  for (size_t i = 0; i < std::min(names.size(), kNamesTold); ++i)
    list += StrCat(i > 0 ? ", " : "", names[i]);
  if (names.size() > kNamesTold) list += StrCat(" and ", names.size() - kNamesTold, " more");
  return StrCat("; there is ", list, ", of which none is a model by its name and its content");
}

}  // namespace

std::vector<std::string> DetectableFormats() {
  std::vector<std::string> formats;
  for (const Recognizer& recognizer : kRecognizers) formats.emplace_back(recognizer.format);
  return formats;
}

Result<Manifest> DetectModel(const std::string& directory, const std::string& format,
                             const std::string& file) {
  Folder folder{directory, {}};
  ASSIGN_OR_RETURN(folder.names, ListDirectory(directory));
  std::erase_if(folder.names, [](const std::string& name) { return name.starts_with('.'); });
  std::sort(folder.names.begin(), folder.names.end());
  if (!file.empty()) return DetectNamed(folder, format, file);

  std::vector<std::string> looked_for;
  std::vector<Found> found;
  for (const Recognizer& recognizer : kRecognizers) {
    if (!format.empty() && format != recognizer.format) continue;
    looked_for.emplace_back(recognizer.looks_for);
    std::vector<std::string> files = recognizer.find(folder);
    if (!files.empty()) found.push_back({&recognizer, std::move(files)});
  }
  // An MLflow folder says where the model of one of its flavors is.
  if (found.empty() && !format.empty() && folder.HasFile(kMlmodel)) {
    Manifest manifest;
    RETURN_IF_ERROR(AddNativeFlavor(directory, manifest));
    if (!manifest.alternatives.empty() && manifest.alternatives[0].format == format) {
      manifest.format = format;
      manifest.model_file = manifest.alternatives[0].model_file;
      manifest.alternatives.clear();
      manifest.reason = StrCat(manifest.model_file, ": named by MLmodel");
      return manifest;
    }
  }
  DropData(found);
  if (looked_for.empty()) {
    return InvalidArgumentError(StrCat("the format \"", format,
                                       "\" cannot be recognised by its files; add a ",
                                       kManifestFileName, ", or name the file by `model_file`"));
  }
  if (found.empty()) {
    return NotFoundError(
        folder.names.empty()
            ? StrCat("no model is recognised; its folder is empty, and should have ",
                     HumanList(looked_for))
            : StrCat("no model is recognised; looked for ", HumanList(looked_for),
                     WhatIsThere(folder.names)));
  }
  if (found.size() > 1) {
    return InvalidArgumentError(StrCat("several models are in one folder: ", Describe(found),
                                       "; name one by `format`, or keep the others elsewhere"));
  }
  if (found[0].files.size() > 1) {
    return InvalidArgumentError(StrCat(
        "several files could be the ", found[0].by->format, " model: ", HumanList(found[0].files),
        "; name one by `model_file`, or call it ", found[0].by->looks_for));
  }
  Manifest manifest;
  manifest.format = found[0].by->format;
  manifest.model_file = found[0].files[0];
  manifest.reason = StrCat(manifest.model_file, ": ", found[0].by->reason);
  if (manifest.format == "mlflow") {
    Status status = AddNativeFlavor(directory, manifest);
    if (!status.ok()) return Annotate(std::move(status), kMlmodel);
  }
  return manifest;
}

namespace {

/// What to take where no file has a usual name, the best first.
std::vector<std::string> OtherNames(const TritonConfig& triton) {
  std::vector<std::string> names;
  if (triton.backend == "fil") {
    auto type = triton.parameters.find("model_type");
    if (type != triton.parameters.end() && type->second == "xgboost")
      names.emplace_back("xgboost.model");
  }
  std::vector<std::pair<double, std::string>> by_capability;
  for (const auto& [capability, file] : triton.cc_model_filenames)
    by_capability.emplace_back(-ParseDouble(capability).value_or(0), file);
  std::sort(by_capability.begin(), by_capability.end());
  for (auto& [capability, file] : by_capability) names.push_back(std::move(file));
  return names;
}

}  // namespace

Result<Manifest> DetectModel(const std::string& directory, const std::string& format,
                             const std::string& file, const TritonConfig* triton) {
  if (triton == nullptr) return DetectModel(directory, format, file);
  const std::string& as = format.empty() ? triton->format : format;
  if (!file.empty()) return DetectModel(directory, as, file);
  if (!triton->default_model_filename.empty()) {
    Result<Manifest> named = DetectModel(directory, as, triton->default_model_filename);
    return named.ok()
               ? std::move(named)
               : Annotate(named.status(), StrCat(kTritonConfigName, ": default_model_filename"));
  }
  Result<Manifest> usual = DetectModel(directory, as);
  if (usual.ok()) return usual;
  for (const std::string& name : OtherNames(*triton)) {
    std::error_code error;
    if (std::filesystem::exists(JoinPath(directory, name), error))
      return DetectModel(directory, as, name);
  }
  if (triton->cc_model_filenames.empty()) return usual;
  return Annotate(usual.status(),
                  StrCat(kTritonConfigName, ": cc_model_filenames: the folder has none of ",
                         HumanList(OtherNames(*triton))));
}

namespace detect_internal {

bool LooksLikeXgboostJson(std::string_view head) {
  std::string_view text = Trim(head);
  return text.starts_with('{') && text.find("\"learner\"") != std::string_view::npos;
}

bool LooksLikeXgboostUbjson(std::string_view head) {
  // An object whose first key, or one of the first, is "learner": a length and the letters.
  return head.starts_with('{') && head.substr(0, 256).find("learner") != std::string_view::npos;
}

bool LooksLikeLightgbm(std::string_view head) {
  return head.starts_with("tree\n") || head.starts_with("tree\r\n");
}

Result<std::optional<NativeFlavor>> NativeFlavorOf(std::string_view mlmodel) {
  ConfigNode root;
  std::vector<ConfigProblem> problems;
  if (!ParseYaml(mlmodel, ConfigLimits(), root, problems))
    return InvalidArgumentError(FormatProblems("", problems));
  const ConfigNode* flavors = root.Find("flavors");
  if (flavors == nullptr || flavors->kind != ConfigNode::Kind::kMap || flavors->entries.empty())
    return InvalidArgumentError("has no flavors: it is not what mlflow.*.save_model writes");
  auto text = [](const ConfigNode& flavor, std::string_view key) {
    const ConfigNode* node = flavor.Find(key);
    return node != nullptr && node->kind == ConfigNode::Kind::kScalar ? node->text : std::string();
  };
  auto native = [&](std::string_view flavor, std::string_view format,
                    std::string_view needed_class) -> std::optional<NativeFlavor> {
    const ConfigNode* node = flavors->Find(flavor);
    if (node == nullptr || node->kind != ConfigNode::Kind::kMap) return std::nullopt;
    // A scikit-learn wrapper around a booster answers otherwise than the booster does.
    if (!needed_class.empty() && text(*node, "model_class") != needed_class) return std::nullopt;
    std::string data = text(*node, "data");
    bool inside = !data.empty() && !data.starts_with('/') &&
                  StrCat("/", data, "/").find("/../") == std::string::npos;
    if (!inside) return std::nullopt;
    return NativeFlavor{std::string(format), std::move(data)};
  };
  if (auto found = native("onnx", "onnx", "")) return found;
  if (auto found = native("xgboost", "xgboost", "xgboost.core.Booster")) return found;
  if (auto found = native("lightgbm", "lightgbm", "lightgbm.basic.Booster")) return found;
  return std::optional<NativeFlavor>();
}

}  // namespace detect_internal
}  // namespace leadsman
