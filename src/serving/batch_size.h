#pragma once

#include "base/status.h"

namespace leadsman {

struct PredictionCall;

/// What the max_batch_size of a config.pbtxt asks of a decoded request: at most so many rows, and as many in each of its
/// inputs. INVALID_ARGUMENT has the numbers. Nothing is asked where no such file is, or its max_batch_size is 0.
Status CheckBatchSize(const PredictionCall& call);

}  // namespace leadsman
