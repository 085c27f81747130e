#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "monitor/schema/data_row.h"

namespace leadsman {

/// Takes the rows one by one; what they point to is valid during the call.
using DataRowSink = std::function<void(const DataRow&)>;

/// Rows that have another number of cells than the header.
struct MisfitRows {
  uint64_t count = 0;
  std::vector<uint64_t> first;  ///< the lines of a few of them
  size_t columns = 0;           ///< of the header
};

/// Text with a header and one line a row (CsvReader). Cells that stand for no value are missing; true
/// and false are booleans; what reads as a number is one. With `misfits` rows that have another number of cells than the header
/// are counted there and passed over; without, they are an error.
Status ReadCsvRows(std::string_view text, const DataRowSink& sink);
Status ReadCsvRows(std::string_view text, const DataRowSink& sink, MisfitRows* misfits);

/// JSON values, one a line: an object of values by name, or a list of values. An object with a member
/// `features` that is one of the two stands for it, as what is sent to POST /api/v1/events. A value may be a list
/// of values, of lists too. Empty lines are passed over.
Status ReadJsonRows(std::string_view text, const DataRowSink& sink);

/// A table of NumPy (ParseReferenceNpz): of rows of up to DataSchema::kMaxPlaces values a field for
/// each, of longer ones one field. At most 1,000,000 rows.
Status ReadNpzRows(std::string_view bytes, const DataRowSink& sink);

/// By the name's end: .csv, .jsonl, .ndjson or .npz; at most 1 GiB. Errors name the path and the line.
Status ReadDataFile(const std::string& path, const DataRowSink& sink,
                    MisfitRows* misfits = nullptr);
bool IsDataFileName(std::string_view path);
/// What `at` of its rows is: "line" or "row".
std::string_view RowWord(std::string_view path);

}  // namespace leadsman
