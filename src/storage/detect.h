#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/manifest.h"
#include "storage/triton_config.h"

namespace leadsman {

/// What stands in a version's folder that has no manifest.json, found by looking at its files. A
/// model's folder without version folders may be one itself.
///
///   mlflow      MLmodel: a folder of mlflow.*.save_model
///   onnx        model.onnx, or the only *.onnx (Triton's model.onnx/ folder, too)
///   tensorflow  saved_model.pb or saved_model.pbtxt, here or in model.savedmodel/
///   xgboost     model.json, model.ubj, model.xgb or model.bst, or the only such file; JSON and UBJSON by a look inside
///   lightgbm    model.txt, or the only *.txt or *.lgb, when it begins with "tree"
///   sklearn     model.pkl, model.pickle or model.joblib, or the only such file
///   keras       model.keras or model.h5, or the only such file
///   python      model.py
///
/// `format` forces one of these, and may be empty. `file` names the model's file, or the folder that it is in, relative to
/// the folder, where several could be meant; with both, nothing is guessed, and the format may be one of a plug-in that is
/// not listed here.
///
/// The manifest that comes back has format, model_file, reason and alternatives; it has no files to verify, and the
/// signature is the runtime's own. A model.py beside pickles or Keras files is what loads them; MLmodel speaks for all
/// that is in its folder. NOT_FOUND when nothing is recognised (the message says what was looked for),
/// INVALID_ARGUMENT when several models are. Looks at names and the first bytes of a few files; blocks for that.
Result<Manifest> DetectModel(const std::string& directory, const std::string& format,
                             const std::string& file = "");
/// The same where a config.pbtxt (may be null) says what those two leave open: backend or platform, and
/// default_model_filename. One that is not there is NOT_FOUND. Of cc_model_filenames, which are for GPUs, the one of the
/// highest compute capability that is there is taken where a model has no other file; of the backend "fil" the names that
/// it gives to its files.
Result<Manifest> DetectModel(const std::string& directory, const std::string& format,
                             const std::string& file, const TritonConfig* triton);

/// The formats above, in that order.
std::vector<std::string> DetectableFormats();

namespace detect_internal {

/// What a model file's first bytes say. Pure, for any bytes at all.
bool LooksLikeXgboostJson(std::string_view head);
bool LooksLikeXgboostUbjson(std::string_view head);
bool LooksLikeLightgbm(std::string_view head);

/// The native runtime that could serve an MLflow folder instead of Python, answering the same: the format and the
/// file, relative to the folder. Nothing when its flavors have none.
struct NativeFlavor {
  std::string format;
  std::string model_file;
};
/// INVALID_ARGUMENT when the text is not an MLmodel with flavors, naming line and column.
Result<std::optional<NativeFlavor>> NativeFlavorOf(std::string_view mlmodel);

}  // namespace detect_internal
}  // namespace leadsman
