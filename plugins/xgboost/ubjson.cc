#include "ubjson.h"

#include <cstddef>
#include <cstdint>

namespace leadsman_xgboost {
namespace {

constexpr int kMostDepth = 64;

class Walker {
 public:
  explicit Walker(std::string_view bytes) : bytes_(bytes) {}

  std::string Check() {
    if (Value(0) && at_ != bytes_.size()) Fail("there is more behind its end");
    return why_ == nullptr ? std::string()
                           : std::string(why_) + " (UBJSON, byte " + std::to_string(at_) + ")";
  }

 private:
  bool Fail(const char* why) {
    if (why_ == nullptr) why_ = why;
    return false;
  }
  bool Take(char& marker) {
    if (at_ == bytes_.size()) return Fail("the file is cut");
    marker = bytes_[at_++];
    return true;
  }
  bool Skip(uint64_t size) {
    if (size > bytes_.size() - at_) return Fail("the file is cut");
    at_ += size;
    return true;
  }
  /// 'L' and eight bytes, the first one the highest.
  bool Length(uint64_t& length) {
    char marker = 0;
    if (!Take(marker)) return false;
    if (marker != 'L') return Fail("a length is not a 64 bit number");
    if (bytes_.size() - at_ < 8) return Fail("the file is cut");
    length = 0;
    for (int i = 0; i < 8; ++i) length = length << 8 | static_cast<unsigned char>(bytes_[at_++]);
    if (length > bytes_.size()) return Fail("a length is longer than the file");
    return true;
  }
  bool Text() {
    uint64_t length = 0;
    return Length(length) && Skip(length);
  }
  /// 0: no type of one size.
  static uint64_t SizeOf(char type) {
    switch (type) {
      case 'i':
      case 'U':
        return 1;
      case 'I':
        return 2;
      case 'l':
      case 'd':
        return 4;
      case 'L':
      case 'D':
        return 8;
      default:
        return 0;
    }
  }

  bool Value(int depth) {
    if (depth > kMostDepth) return Fail("it is nested too deeply");
    char marker = 0;
    if (!Take(marker)) return false;
    switch (marker) {
      case '{':
        return Object(depth);
      case '[':
        return Array(depth);
      case 'S':
        return Text();
      case 'T':
      case 'F':
      case 'Z':
        return true;
      default:
        if (uint64_t size = SizeOf(marker); size > 0) return Skip(size);
        return Fail("a value is of no known type");
    }
  }
  bool Object(int depth) {
    while (true) {
      if (at_ == bytes_.size()) return Fail("the file is cut");
      if (bytes_[at_] == '}') {
        ++at_;
        return true;
      }
      if (!Text() || !Value(depth + 1)) return false;
    }
  }
  bool Array(int depth) {
    char marker = 0;
    if (!Take(marker)) return false;
    uint64_t count = 0;
    if (marker == '$') {
      char type = 0;
      char hash = 0;
      if (!Take(type) || !Take(hash) || !Length(count)) return false;
      const uint64_t size = SizeOf(type);
      if (size == 0 || hash != '#') return Fail("an array is of no known type");
      return Skip(count * size);  // cannot overflow: the count is not above the file's size
    }
    if (marker != '#') return Fail("an array has no length");
    if (!Length(count)) return false;
    for (uint64_t i = 0; i < count; ++i) {
      if (!Value(depth + 1)) return false;
    }
    return true;
  }

  const std::string_view bytes_;
  size_t at_ = 0;
  const char* why_ = nullptr;
};

}  // namespace

std::string CheckUbjson(std::string_view bytes) { return Walker(bytes).Check(); }

std::string CheckJsonDepth(std::string_view bytes) {
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMostDepth) return "it is nested too deeply (byte " + std::to_string(i) + ")";
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return {};
}

}  // namespace leadsman_xgboost
