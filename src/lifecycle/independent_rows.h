#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "base/clock.h"

namespace leadsman {

/// Whether it is safe and worth it to run the rows of several requests together, by trying the default signature: `rows` rows of
/// random numbers are run one by one and together. Each row must get the same answer both ways (floating point to 1e-4
/// of each value, or 1e-5 of the largest beside it; all else exactly), some must differ from row to row, all must be finite, and together
/// must take less than three quarters of the time.
///
/// True is evidence, not a proof: a model whose rows look at each other (a softmax over the batch, ranks within it) is found out unless it
/// does so for rare values only.
///
/// False also when that cannot be tried: an input or output whose first dimension is not open, texts or half floats as inputs, more than
/// 16 MiB of inputs, optional inputs with rows, a model that refuses the numbers. Blocks for some calls more than twice `rows`; takes contexts of its own.
/// Throws nothing.
bool RowsAreIndependent(LoadedModel& model, uint32_t rows, Clock& clock,
                        const std::atomic<bool>& cancel);

}  // namespace leadsman
