#pragma once

#include "base/wire.h"
#include "lifecycle/types.h"

namespace leadsman::rpc {

/// The fields of inference.ModelConfig for a version: v2::DescribeModel in protocol buffers.
void AppendModelConfig(WireWriter& out, const ServableVersion& version);

}  // namespace leadsman::rpc
