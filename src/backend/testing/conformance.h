#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace leadsman {

/// One backend and one good model of it, for the conformance test that every backend has to pass.
struct ConformanceCase {
  std::string name;  ///< of the test: letters and digits
  std::function<Result<std::shared_ptr<Backend>>()> backend;
  std::string directory;  ///< holds the two files below
  std::string model_file;
  std::string corrupt_file;  ///< refused with INVALID_ARGUMENT
  Signature signature;       ///< as expected; every first dimension is the batch
  /// Fills `inputs` for `rows` rows, beginning with row `first` of an endless sequence of rows: the
  /// conformance test compares batches with single rows.
  std::function<void(int64_t first, int64_t rows, std::vector<Tensor>& inputs)> fill;

  friend std::ostream& operator<<(std::ostream& out, const ConformanceCase& c) {
    return out << c.name;
  }
};

}  // namespace leadsman
