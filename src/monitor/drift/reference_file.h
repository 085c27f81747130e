#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "monitor/drift/reference.h"

namespace leadsman {

class FeatureNames;

/// A table of training data: a row for each example, missing values as NaN.
struct ReferenceTable {
  std::vector<std::string> names;  ///< of the columns; empty where the file has none
  size_t width = 0;
  std::vector<float> values;  ///< row by row
  // Of columns that are no inputs, where TableColumns names them.
  std::vector<int64_t> unix_ms;
  std::vector<std::string> answers, labels;
  size_t rows() const { return width > 0 ? values.size() / width : 0; }
  /// Each column has a name, and another one.
  bool named() const;
};

/// Columns of a table that are no inputs of the model; empty: there are none.
struct TableColumns {
  std::string
      time;  ///< RFC 3339 in UTC ("2026-03-01T12:00:00Z"), or seconds or milliseconds since 1970
  std::string answer;  ///< what the model answered
  std::string label;   ///< the true answer; an empty cell: it is not known
};

/// Text with a header and one line a row; comma, semicolon or tab, quotes as in RFC 4180. Empty
/// cells, "NA", "nan" and "null" are missing; a column in which a text occurs is an error that names
/// its line, as the model's inputs are numbers.
Result<ReferenceTable> ParseReferenceCsv(std::string_view text, const TableColumns& columns = {});

/// NumPy's archive of arrays (numpy.savez, also compressed). The table is the array "x", "X",
/// "inputs" or "data", or the only one with more than one dimension; what follows the first dimension
/// is one row. Of float32, float64, integers and booleans, little-endian, in C order; no pickles.
Result<ReferenceTable> ParseReferenceNpz(std::string_view bytes);

/// By the name's end; columns are those of a CSV.
Result<ReferenceTable> ReadTable(const std::string& path, const TableColumns& columns = {});

/// By the name's end. Tables wider than `wide_input` are summarised as their requests are. Rows are
/// taken in the order of the file: of the first 1,000,000.
///
/// Where the model's requests name their values, columns are matched with them by name; a column that
/// no request has had gets a place of its own. Else the order of the columns is that of the values, and
/// suggested to `names`. Columns that these drop are left out.
Result<std::shared_ptr<const Reference>> ReadReferenceFile(const std::string& path,
                                                           size_t wide_input, int64_t now_ms,
                                                           FeatureNames* names = nullptr);

}  // namespace leadsman
