#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace leadsman {

/// Walks a JSON document once, front to back, straight over the request's bytes: the caller asks
/// for what it expects and skips the rest. Strict RFC 8259, UTF-8 checked, plus the NaN, Infinity
/// and -Infinity tokens that TensorFlow Serving and Triton take. Nothing is allocated unless a
/// string holds an escape. Nesting beyond kMaxDepth is an error.
///
/// Why not a library: simdjson refuses NaN and Infinity. It also reads long arrays of short decimals
/// slower, and short ones faster (README.md has the figures and what was not compared). simdjson is
/// the oracle of json_cursor_test.cc and the fuzz target.
///
///   JsonCursor json(body);
///   bool ok = json.Object([&](std::string_view key) { return key == "n" ? json.Integer(n) :
///   json.Skip(); }) && json.End(); if (!ok) return json.error();
///
/// Functions return false after an error; the first error sticks. Confined to one thread; the text
/// must outlive it.
class JsonCursor {
 public:
  static constexpr int kMaxDepth = 100;

  /// The document must be an object: a '}' at the end of the text is what keeps the number loops
  /// inside it.
  explicit JsonCursor(std::string_view text);

  enum class Kind { kObject, kArray, kString, kNumber, kBool, kNull, kEnd, kOther };
  /// What stands next (NaN and Infinity are numbers). Consumes white space only.
  Kind Peek();
  static std::string_view KindName(
      Kind kind);  ///< "Object", …, as in TensorFlow Serving's messages

  /// Visits the members of an object; `member(key)` must consume the value and return false on an
  /// error. `key` is valid until the next member.
  template <typename Member>
  bool Object(Member member) {
    if (!Enter('{', "an object")) return false;
    std::string scratch;
    if (!TryConsume('}')) {
      do {
        std::string_view key;
        if (Peek() != Kind::kString) return Fail("Missing a name for object member");
        if (!String(key, scratch)) return false;
        if (!TryConsume(':')) return Fail("Missing a colon after a name of object member");
        if (!member(key)) return FailedAlready();
      } while (TryConsume(','));
      if (!TryConsume('}')) return Fail("Missing a comma or } after an object member");
    }
    --depth_;
    return true;
  }
  /// Visits the elements of an array; `element(index)` must consume one value.
  template <typename Element>
  bool Array(Element element) {
    if (!Enter('[', "an array")) return false;
    if (!TryConsume(']')) {
      size_t index = 0;
      do {
        if (!element(index++)) return FailedAlready();
      } while (TryConsume(','));
      if (!TryConsume(']')) return Fail("Missing a comma or ] after an array element");
    }
    --depth_;
    return true;
  }

  /// `out` points into the text, or into `scratch` when the string holds escapes.
  bool String(std::string_view& out, std::string& scratch);
  bool Bool(bool& out);
  bool Null();
  /// Exactly rounded; beyond double's range: infinite or zero, as TensorFlow Serving reads it.
  bool Double(double& out);
  /// The magnitude of a number without fraction and exponent. `overflow` when it does not fit 64
  /// bits. A number that is not an integer is consumed and gives `integer` = false.
  struct IntegerValue {
    bool integer = false;
    bool negative = false;
    bool overflow = false;
    uint64_t magnitude = 0;
  };
  bool Integer(IntegerValue& out);
  bool Skip();
  /// Nothing but white space is left.
  bool End();

  /// For values that can only be read once something further on is known.
  size_t position() const { return static_cast<size_t>(at_ - begin_); }
  void Seek(size_t position) { at_ = begin_ + position; }

  /// The first bytes of the value that stands next, for messages.
  std::string Excerpt();

  /// Stops the walk with an error of the caller's.
  bool Fail(Status status);
  /// "JSON Parse error: <what> at offset: N"
  bool Fail(std::string_view what);
  const Status& error() const { return error_; }

  // --- for the number loops of ArrayDecoder ---

  /// Consumes the next byte, after white space, if it is `c`.
  bool TryConsume(char c) {
    SkipSpace();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  /// True when a plain decimal number stood next that one division converts exactly; false leaves
  /// the cursor before whatever it is, for Double() to have a closer look.
  bool TryShortDecimal(double& out);
  bool Enter(char open, std::string_view what);
  void Leave() { --depth_; }

 private:
  void SkipSpace() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  bool FailedAlready();
  bool Literal(std::string_view word);
  bool Unescape(std::string_view raw, std::string& out);
  /// The end of the number's text; null when it is none.
  const char* NumberEnd() const;

  const char* begin_;
  const char* at_;
  const char* end_;
  int depth_ = 0;
  Status error_;
};

/// Powers of ten that a double holds exactly.
inline constexpr double kExactPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

inline bool JsonCursor::TryShortDecimal(double& out) {
  // The document ends with '}', so the digit loops stop inside it.
  SkipSpace();
  if (at_ == end_) return false;
  const char* p = at_;
  bool negative = *p == '-';
  p += negative;
  uint64_t mantissa = 0;
  const char* digits = p;
  auto digit = [](char c) { return static_cast<unsigned>(static_cast<unsigned char>(c)) - '0'; };
  unsigned d;
  while ((d = digit(*p)) < 10) {
    mantissa = mantissa * 10 + d;
    ++p;
  }
  auto whole = p - digits;
  if (whole == 0 || (whole > 1 && *digits == '0')) return false;
  std::ptrdiff_t fraction = 0;
  if (*p == '.') {
    const char* point = ++p;
    while ((d = digit(*p)) < 10) {
      mantissa = mantissa * 10 + d;
      ++p;
    }
    fraction = p - point;
    if (fraction == 0) return false;
  }
  // Up to 15 digits are below 2^53 and 10^15 is exact: one correctly rounded division (Clinger
  // 1990).
  if (whole + fraction > 15 || (*p | 0x20) == 'e') return false;
  double value = static_cast<double>(mantissa);
  if (fraction > 0) value /= kExactPowersOfTen[fraction];
  out = negative ? -value : value;
  at_ = p;
  return true;
}

}  // namespace leadsman
