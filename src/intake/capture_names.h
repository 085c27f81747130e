#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "intake/field.h"

namespace leadsman {
class Redactor;
}

namespace leadsman::intake {

/// What a column of a capture file, or a member of its JSON, is by its name: "prediction", "y_true", "request_id". Letters' case
/// and what separates words do not matter. Only such files are read by these names: in the log of a service a `score` may be
/// anything, and in a capture file a `duration` is a feature.
std::optional<FieldTarget> FindCaptureName(std::string_view name);

/// Names of what a program derives from its prediction ("proba_0"): neither a feature nor the prediction itself.
bool IsDerivedName(std::string_view name);

/// "age, income, x3 and 12 more"
std::string SomeNames(const std::vector<std::string>& names);
/// Likewise of features; those that are dropped are counted, and not named. `redactor`: null: none is.
std::string SomeFeatures(const std::vector<std::string>& names, const Redactor* redactor);

}  // namespace leadsman::intake
