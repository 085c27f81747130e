#pragma once

#include <string>

#include "lifecycle/types.h"

namespace leadsman::v2 {

/// GET /v2/models/M[/versions/V]/config: the version as Triton's model configuration would describe
/// it. With a max_batch_size the dims are those of one row, as there; with 0 they are whole.
void AppendModelConfig(std::string& out, const ServableVersion& version);

}  // namespace leadsman::v2
