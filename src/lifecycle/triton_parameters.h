#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// The parameter that says which of a SavedModel's signatures is the one that requests mean; see triton_model.h.
inline constexpr std::string_view kTritonSignatureParameter = "TF_SIGNATURE_DEF";

/// What the `parameters` of a config.pbtxt mean to the runtime of a format. They are free there: a backend passes over what it
/// does not know, where our runtimes refuse it.
struct TritonParameters {
  std::map<std::string, std::string> options;  ///< as runtime_options
  std::optional<int> intra_op_threads;
  std::vector<std::string> without_effect;  ///< their names
};

/// Those that have our names are taken as they are, those of Triton's backends by what they are called here. Of a format that
/// Triton does not have all are taken. Pure.
TritonParameters TranslateParameters(const std::map<std::string, std::string>& parameters,
                                     std::string_view format);

}  // namespace leadsman
