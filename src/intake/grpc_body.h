#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "events/exchange.h"
#include "net/compression.h"
#include "net/padded_buffer.h"

namespace leadsman::intake {

/// A message of a prediction's call (GrpcMethod), written anew as what the same server says over HTTP, so that one reader knows
/// both: the tensors of V2 and of Predict as V2's JSON with their bytes behind it, examples, classes and regressions as TensorFlow
/// Serving's JSON. What stands beside them (the model, its version, parameters) is left out, but for the request's id.
///
/// Whatever the bytes, it returns; nothing it makes is much larger than eight times `max_body`. Confined to one thread; keeps its
/// buffers.
class GrpcBody {
 public:
  enum class Side { kRequest, kResponse };
  enum class Outcome {
    kRead,
    kNotUnderstood,  ///< no message of this call, or of tensors that have no form here
    kEncoding,       ///< compressed by what is not known, broken, or too long inflated
  };
  /// `max_body`: of a message, inflated.
  explicit GrpcBody(size_t max_body) : max_body_(max_body) {}

  /// What the others say then is valid until the next call, and while the body is.
  Outcome Read(const HttpBody& body, Side side);

  std::string_view message() const { return message_; }  ///< as it was before it was compressed
  std::string_view json() const { return json_; }
  std::string_view behind() const { return behind_; }  ///< the JSON: tensors
  std::string_view id() const { return id_; }          ///< V2's; empty: it says none

 private:
  struct Tensor {
    std::string_view name, datatype;
    std::vector<int64_t> shape;
    std::string_view bytes;      ///< where they stand in the message
    size_t begin = 0, size = 0;  ///< else: in made_, until that is complete
    bool elsewhere = false;      ///< as in shared memory
  };

  Outcome TakeMessage(const HttpBody& body);
  bool ReadModelInfer(Side side);
  bool ReadPredict(Side side);
  bool ReadExamples();
  bool ReadResults(GrpcMethod call);
  bool ReadV2Tensor(std::string_view proto, std::string_view& contents);
  bool ReadTensorProto(std::string_view name, std::string_view proto);
  bool MakeV2Values(Tensor& tensor, std::string_view contents);
  bool MakeValues(Tensor& tensor, std::string_view proto);
  void WriteTensors(std::string_view list);

  const size_t max_body_;
  uint64_t filled_ = 0;  ///< of the message: bytes of values that are not written out
  net::Inflater inflater_;
  net::PaddedBuffer buffer_;
  std::string_view message_, behind_, id_;
  std::string json_, made_, together_;
  std::vector<Tensor> tensors_;
  std::vector<std::string_view> raw_, contents_;
};

}  // namespace leadsman::intake
