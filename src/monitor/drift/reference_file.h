#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "monitor/drift/reference.h"

namespace leadsman {

/// A table of training data: a row for each example, missing values as NaN.
struct ReferenceTable {
  std::vector<std::string> names;  ///< of the columns; empty where the file has none
  size_t width = 0;
  std::vector<float> values;  ///< row by row
  size_t rows() const { return width > 0 ? values.size() / width : 0; }
};

/// Text with a header and one line a row; comma, semicolon or tab, quotes as in RFC 4180. Empty
/// cells, "NA", "nan" and "null" are missing; a column in which a text occurs is an error that names
/// its line, as the model's inputs are numbers.
Result<ReferenceTable> ParseReferenceCsv(std::string_view text);

/// NumPy's archive of arrays (numpy.savez, also compressed). The table is the array "x", "X",
/// "inputs" or "data", or the only one with more than one dimension; what follows the first dimension
/// is one row. Of float32, float64, integers and booleans, little-endian, in C order; no pickles.
Result<ReferenceTable> ParseReferenceNpz(std::string_view bytes);

/// By the name's end. Tables wider than `wide_input` are summarised as their requests are. Rows are
/// taken in the order of the file: of the first 1,000,000.
Result<std::shared_ptr<const Reference>> ReadReferenceFile(const std::string& path,
                                                           size_t wide_input, int64_t now_ms);

}  // namespace leadsman
