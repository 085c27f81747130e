#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/array_decoder.h"
#include "serving/predictor.h"
#include "tensor/tensor.h"

namespace leadsman {

/// What decoding works with; used again from request to request.
struct DecodeBuffers {
  std::vector<ArrayDecoder> decoders;  ///< by the signature's inputs
  std::vector<size_t> seen;            ///< per input: how many rows (or 1) have brought it
  std::string scratch;
};

/// What one protocol does with one prediction: bytes ↔ PredictionCall. Confined to one request at a
/// time, kept with the connection so that its buffers are used again. Pure: no I/O, no clock.
class PredictionCodec {
 public:
  virtual ~PredictionCodec() = default;
  /// Fills call.inputs, input_count and rows (and may set deadline and request_id).
  /// INVALID_ARGUMENT names the field, what was expected and what came. `body` as of
  /// net::HttpRequest.
  virtual Status Decode(std::string_view body, PredictionCall& call) = 0;
  /// Appends the answer to `out`, which is left unspecified on an error.
  virtual Status Encode(const PredictionCall& call, std::string& out) = 0;
  virtual int HttpStatus(StatusCode code) const = 0;
  /// The body of an answer that is an error.
  virtual void AppendError(std::string& out, const Status& status) const;
};

/// {"error": "<message>"}: the error body of all three protocols.
void AppendErrorBody(std::string& out, std::string_view message);

/// As Triton does, most are 400; but what a client may try again (429, 503, 504), and what it gave up itself (499), is
/// told apart, as proxies and retry policies go by that.
int V2HttpStatus(StatusCode code);

/// Makes call.inputs ready to be filled: as many as the signature has, all absent.
void PrepareInputs(const Signature& signature, PredictionCall& call);
/// Required inputs there, types and shapes as in the signature, and none that is empty but huge ([4000000000,0]); sets
/// call.rows.
Status CheckInputs(const Signature& signature, PredictionCall& call);

/// TensorFlow Serving leaves shapes to the graph. So its documentation's first example sends [3] where the model has [-1,1], and reads
/// [3]. Of one request.
class LeftOutDimension {
 public:
  /// Before CheckInputs: where all inputs that came lack nothing but a last dimension of one, they get it.
  void AddTo(const Signature& signature, PredictionCall& call);
  /// The outputs, without such a dimension where the inputs came without. Valid until the next call.
  std::span<const TensorView> TakeFrom(std::span<const TensorView> outputs);

 private:
  bool left_out_ = false;
  std::vector<TensorView> outputs_;
};

/// "x, y and z" for messages.
std::string InputNames(const Signature& signature);
/// The input that a plain value means: the only one, or the only one that is not optional. -1 when
/// it takes names.
int SoleInput(const Signature& signature);
/// The index of the input of that name, or -1.
int FindInputIndex(const Signature& signature, std::string_view name);

/// Rows as TensorFlow Serving's `instances` and the plain protocol take them: the cursor stands
/// before a list of plain values (one input), of one-key objects, or of objects with all inputs.
/// `field` is the list's name for messages. False: json.error().
bool DecodeRows(JsonCursor& json, std::string_view field, const Signature& signature,
                DecodeBuffers& buffers, PredictionCall& call);
/// One object of all inputs is one row: as a list of that object alone.
bool DecodeOneRow(JsonCursor& json, std::string_view field, const Signature& signature,
                  DecodeBuffers& buffers, PredictionCall& call);
/// Moves what DecodeRows gathered for row objects or columns into call.inputs.
void StoreInputs(const Signature& signature, DecodeBuffers& buffers, PredictionCall& call);
/// Begins all decoders.
Status BeginInputs(const Signature& signature, ArrayDecoder::Options options,
                   DecodeBuffers& buffers);
/// True when the object that stands next is {"b64": "…"} for a string input, not an object of
/// inputs.
bool IsB64Value(JsonCursor& json, const Signature& signature);

/// Rows of answers, for `predictions` and `prediction`: one output → its values, several → an
/// object each. `rows` rows. INVALID_ARGUMENT when outputs have different numbers of rows.
Status AppendRows(std::string& out, std::span<const TensorView> outputs, bool unnest_single_row);

}  // namespace leadsman
