#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cli/commands.h"

namespace leadsman::cli {

/// Four digits; "-" where there is no number.
std::string Short(const Json& number);

/// GET /api/v1/models/{model}/{what}, of one version unless it is negative. Null when the command is over with `code`: it has failed,
/// or the answer was printed as JSON.
std::shared_ptr<const Json> AnswerByVersion(ClientContext& c, const std::string& model,
                                            const char* what, int64_t version, int& code);

/// POST of the same; then a line for each version that the answer names: `of` model:version, `begins_anew`.
int PostByVersion(ClientContext& c, const std::string& model, const char* what, int64_t version,
                  const char* of, const std::string& begins_anew);

}  // namespace leadsman::cli
