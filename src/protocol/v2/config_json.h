#pragma once

#include <string>

#include "lifecycle/types.h"

namespace leadsman::v2 {

/// GET /v2/models/M[/versions/V]/config: DescribeModel (model_config.h) as JSON.
void AppendModelConfig(std::string& out, const ServableVersion& version);

}  // namespace leadsman::v2
