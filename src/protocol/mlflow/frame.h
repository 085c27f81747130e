#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "protocol/prediction_codec.h"
#include "serving/predictor.h"
#include "tensor/tensor.h"

namespace leadsman::mlflow {

/// How a table's columns are the model's inputs.
struct ColumnPlan {
  enum class Kind {
    kNamed,    ///< every input is a column of its name; other columns are left alone
    kStacked,  ///< the columns, in their order, are the rows of the only input
    kSingle,   ///< the only column is the only input
  };
  Kind kind = Kind::kNamed;
  size_t input = 0;            ///< kStacked, kSingle: which
  std::vector<int> column_of;  ///< kNamed: by input, -1 = not there (it is optional)
};

/// INVALID_ARGUMENT says which input has no column, or how many columns the input takes. Names that
/// come twice are refused where they are needed.
Result<ColumnPlan> PlanColumns(const Signature& signature, const std::vector<std::string>& columns);

/// A table of cells, row by row.
struct Frame {
  std::vector<std::string> columns;
  std::vector<std::string_view> cells;  ///< JSON values, or a CSV's cells
  bool csv = false;
  size_t rows() const { return columns.empty() ? 0 : cells.size() / columns.size(); }
};

/// Moves the table into call.inputs. `text` is scratch. INVALID_ARGUMENT as of PlanColumns, or names
/// the input and the row. Missing values are NaN for floats, and refused otherwise.
Status StoreFrame(const Frame& frame, const Signature& signature, DecodeBuffers& buffers,
                  std::string& text, PredictionCall& call);

/// Moves what decoder `input` has gathered into call.inputs; one value a row becomes one column,
/// where the model wants [-1,1].
void StoreInput(const Signature& signature, size_t input, DecodeBuffers& buffers,
                PredictionCall& call);

}  // namespace leadsman::mlflow
