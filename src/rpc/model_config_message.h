#pragma once

#include "lifecycle/types.h"
#include "rpc/wire.h"

namespace leadsman::rpc {

/// The fields of inference.ModelConfig for a version: v2::DescribeModel in protocol buffers.
void AppendModelConfig(WireWriter& out, const ServableVersion& version);

}  // namespace leadsman::rpc
