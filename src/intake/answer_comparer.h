#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/exchange.h"
#include "intake/log_format.h"

namespace leadsman::intake {

/// How the answers of two versions to the same request differ.
struct AnswerDifference {
  enum class Kind : uint8_t {
    kEqual,            ///< every output
    kWithinTolerance,  ///< but for numbers, and those are close enough
    kDiffers,  ///< more than that: numbers, texts, how many there are; or the shadow's answer cannot be read
    kClassFlip,      ///< a row has another class
    kNotKept,        ///< a body was too long, or there was no memory for it
    kNotUnderstood,  ///< the answer that the client got is of no known form
  };
  Kind kind = Kind::kEqual;
  /// Of two numbers at the same place that are not both whole; infinite when one of them is no finite number. None: there are no
  /// such numbers.
  std::optional<double> largest = std::nullopt;
  /// Of rows with another class: the row, and the shadow's class, up to kMaxEventText.
  std::vector<std::pair<uint32_t, std::string>> flips = {};
  /// All rows of both answers have a class, and each has been compared.
  bool classes_compared = false;
};

/// Compares answers by their outputs: what stands beside them, as a version or a time, may differ. Known forms are those of
/// PayloadReader; of plain JSON what is called a prediction, a label, a class, a score or a probability. Bodies that are the
/// same to the byte are equal whatever they are.
///
/// Two numbers are close enough when they differ by `tolerance` at most, or by that part of the larger one. A class is the
/// label of a row, the index of its highest score, or a whole number.
///
/// Whatever the bytes, it returns. Confined to one thread; keeps its buffers.
class AnswerComparer {
 public:
  /// `max_body`: of one that was compressed.
  explicit AnswerComparer(size_t max_body);
  ~AnswerComparer();
  AnswerComparer(const AnswerComparer&) = delete;
  AnswerComparer& operator=(const AnswerComparer&) = delete;

  /// `mapped`: its fields alone are compared.
  AnswerDifference Compare(const HttpBody& live, const HttpBody& shadow, double tolerance,
                           LineParser* mapped = nullptr);
  /// The request's id, as the live answer that was compared last says it itself (a call of V2); valid until the next one, and while
  /// that answer is.
  std::string_view live_id() const { return live_id_; }

 private:
  class Side;
  std::optional<double> LargestOfEqual(LineParser* mapped);
  const std::unique_ptr<Side> live_, shadow_;
  std::string_view live_id_;
};

}  // namespace leadsman::intake
