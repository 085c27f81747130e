#include "runtime.h"

#include "library.h"

namespace leadsman_xgboost {
namespace {

using leadsman_plugin::Failure;
using leadsman_plugin::LibrarySearch;

const LibrarySearch kSearch = {
    "XGBoost",
    {"xgboost/xgboost/lib/libxgboost.so", "xgboost/lib/libxgboost.so", "libxgboost.so"},
    "libxgboost.so.0",
    "libxgboost.so (in PyPI's packages xgboost-cpu and xgboost, or Debian's libxgboost0) is "
    "needed. Run tools/fetch_runtimes.sh --only xgboost, or name the file by LEADSMAN_XGBOOST or "
    "its folder by LEADSMAN_RUNTIMES."};
const LibrarySearch kOldSearch = {
    "XGBoost 3.0", {"xgboost/old/xgboost/lib/libxgboost.so"}, "libxgboost.so.0", ""};

Library Open(const std::string& file) {
  // Deep: two versions may be in one process, and each has to find its own symbols.
  void* library = leadsman_plugin::OpenLibrary(kSearch, file, true);
  Library opened;
  Api& api = opened.api;
  const leadsman_plugin::SymbolFinder find(library, file);
  find(api.version, "XGBoostVersion");
  find(api.get_last_error, "XGBGetLastError");
  find(api.register_log_callback, "XGBRegisterLogCallback");
  find(api.set_global_config, "XGBSetGlobalConfig");
  find(api.booster_create, "XGBoosterCreate");
  find(api.booster_free, "XGBoosterFree");
  find(api.booster_load_model_from_buffer, "XGBoosterLoadModelFromBuffer");
  find(api.booster_set_param, "XGBoosterSetParam");
  find(api.booster_get_num_feature, "XGBoosterGetNumFeature");
  find(api.booster_boosted_rounds, "XGBoosterBoostedRounds");
  find(api.booster_get_attr, "XGBoosterGetAttr");
  find(api.predict_from_dense, "XGBoosterPredictFromDense");
  find(api.predict_from_matrix, "XGBoosterPredictFromDMatrix");
  find(api.matrix_create_from_dense, "XGDMatrixCreateFromDense");
  find(api.proxy_create, "XGProxyDMatrixCreate");
  find(api.matrix_free, "XGDMatrixFree");
  int major = 0;
  int minor = 0;
  int patch = 0;
  api.version(&major, &minor, &patch);
  opened.version =
      std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
  opened.reads_binary = major < 3 || (major == 3 && minor < 1);
  // What goes wrong comes back as an error; lines for the console would be in nobody's log.
  api.register_log_callback([](const char*) {});
  return opened;
}

}  // namespace

std::string Library::Error() const {
  const char* text = api.get_last_error();
  if (text == nullptr || *text == '\0') return "no reason given";
  // "[time] /path/file.cc:123: what is wrong\nStack trace:…": of which the reader wants the middle.
  std::string error = text;
  error = error.substr(0, error.find("\nStack trace"));
  if (size_t at = error.find(".cc:"); error.starts_with('[') && at != std::string::npos) {
    if (size_t colon = error.find(": ", at + 4); colon != std::string::npos) {
      error.erase(0, colon + 2);
    }
  }
  while (!error.empty() && error.back() == '\n') error.pop_back();
  return error;
}

Runtime::Runtime(const leadsman_host*, std::span<const leadsman_option> options)
    : file_(leadsman_plugin::FindLibrary(kSearch, options)),
      version_(leadsman_plugin::VersionBeside(file_, "")) {
  if (version_.empty()) version_ = Main().version;
  try {
    old_file_ = leadsman_plugin::FindLibrary(kOldSearch, options);
  } catch (const Failure&) {
    // Models in the old format will say so.
  }
}

const Library& Runtime::Main() {
  std::lock_guard lock(mutex_);
  if (!main_) main_ = Open(file_);
  return *main_;
}

const Library& Runtime::ForBinary() {
  const Library& main = Main();
  if (main.reads_binary) return main;
  std::lock_guard lock(mutex_);
  if (!old_) {
    if (old_file_.empty()) {
      throw Failure{LEADSMAN_UNIMPLEMENTED,
                    "the model is in XGBoost's old binary format, which XGBoost " + main.version +
                        " no longer reads. Save it anew as .ubj or .json with XGBoost 3.0 or "
                        "older, or run tools/fetch_runtimes.sh --only xgboost, which fetches 3.0 "
                        "too"};
    }
    old_ = Open(old_file_);
  }
  return *old_;
}

}  // namespace leadsman_xgboost
