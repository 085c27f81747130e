#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http_status.h"
#include "protocol/mlflow/frame.h"
#include "protocol/prediction_codec.h"

namespace leadsman::mlflow {

struct MlflowOptions {
  std::string model;   ///< served at /invocations; empty: the only model
  std::string output;  ///< which output is the prediction; empty: the first; "*": all, as records
};

enum class ContentType { kJson, kCsv };

/// What the header Content-Type says. UNIMPLEMENTED (to be answered with 415) with the reason in
/// MLflow's manner: other types, other charsets than UTF-8, other parameters. Absent is JSON.
Result<ContentType> ParseContentType(std::string_view value);

/// The scoring protocol of MLflow 2 and 3: {"dataframe_split" | "dataframe_records" | "instances" |
/// "inputs": …} or CSV → {"predictions": …}.
///
/// A table's columns are inputs of their names, or, stacked in their order, the rows of the only
/// input. What a model answers is one output: [rows] or [rows,1] as a list of values, a matrix as
/// a list of lists, several outputs (output "*") as a list of records.
class InvocationsCodec final : public PredictionCodec {
 public:
  /// Must outlive the codec.
  void SetOptions(const MlflowOptions* options) { options_ = options; }
  /// Of the next Decode.
  void SetContentType(ContentType type) { type_ = type; }

  Status Decode(std::string_view body, PredictionCall& call) override;
  Status Decode(std::string_view body, const Signature& signature, PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return net::HttpStatusOf(code); }
  /// The last Decode met `params` with something in them, for a model that takes none.
  bool params_ignored() const { return params_ignored_; }
  void AppendError(std::string& out, const Status& status) const override;

 private:
  bool TakeParams(JsonCursor& json, const Signature& signature, PredictionCall& call);
  Status DecodeCsv(std::string_view body, const Signature& signature, PredictionCall& call);
  bool DecodeField(JsonCursor& json, std::string_view key, const Signature& signature,
                   PredictionCall& call);
  bool DecodeSplit(JsonCursor& json, const Signature& signature, PredictionCall& call);
  bool DecodeSplitData(JsonCursor& json, const Signature& signature, PredictionCall& call);
  bool DecodeRecords(JsonCursor& json, std::string_view field, const Signature& signature,
                     PredictionCall& call);
  bool DecodeColumns(JsonCursor& json, const Signature& signature, PredictionCall& call);
  bool DecodeTensor(JsonCursor& json, std::string_view field, const Signature& signature,
                    PredictionCall& call);
  bool ReadColumnNames(JsonCursor& json);
  bool TakeCell(JsonCursor& json);
  bool Store(JsonCursor& json, const Signature& signature, PredictionCall& call);

  const MlflowOptions* options_ = nullptr;
  ContentType type_ = ContentType::kJson;
  std::string_view body_;  ///< during Decode
  bool params_ignored_ = false;
  DecodeBuffers buffers_;
  Frame frame_;
  std::string text_;
};

/// {"error_code": "BAD_REQUEST", "message": "…"}: never a stack trace, never what was sent.
void AppendMlflowError(std::string& out, const Status& status);

}  // namespace leadsman::mlflow
