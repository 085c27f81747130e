#pragma once

#include <atomic>
#include <cstddef>

#include "backend/backend.h"

namespace leadsman {

/// Whether what a row gets does not depend on the rows beside it, by trying: a few rows of random numbers are run one by one and
/// together, and the answers compared (floating point to 1e-4, all else exactly). True is evidence, not a proof: a model
/// whose rows look at each other (a softmax over the batch, ranks within it), or that answers otherwise each time, is found out unless
/// it does so for rare values only.
///
/// False also when that cannot be tried: a tensor whose first dimension is not open, texts or half floats, a row above 4 MiB,
/// a model that refuses the numbers. Blocks for five calls; takes a context of its own.
bool RowsAreIndependent(LoadedModel& model, size_t signature, const std::atomic<bool>& cancel);

}  // namespace leadsman
