#include "protocol/json_cursor.h"

#include <simdjson.h>

#include <charconv>
#include <cstring>
#include <limits>

#include "base/strings.h"

namespace leadsman {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// Four hex digits, or a negative number.
int32_t Hex4(std::string_view text) {
  if (text.size() < 4) return -1;
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + 4, value, 16);
  return error == std::errc() && end == text.data() + 4 ? static_cast<int32_t>(value) : -1;
}

}  // namespace

JsonCursor::JsonCursor(std::string_view text)
    : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()) {
  SkipSpace();
  if (at_ == end_) {
    Fail("The document is empty.");
    return;
  }
  if (*at_ != '{') {
    Fail("The document is not an object");
    return;
  }
  const char* last = end_ - 1;
  while (*last == ' ' || *last == '\n' || *last == '\r' || *last == '\t') --last;
  if (*last != '}') {
    at_ = last;
    Fail("The document does not end with }: it was cut short, or something follows it");
    at_ = end_;
  }
}

JsonCursor::Kind JsonCursor::Peek() {
  SkipSpace();
  if (at_ == end_ || !error_.ok()) return Kind::kEnd;
  switch (*at_) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
    case 'f':
      return Kind::kBool;
    case 'n':
      return Kind::kNull;
    case 'N':
    case 'I':
    case '-':
      return Kind::kNumber;
    default:
      return IsDigit(*at_) ? Kind::kNumber : Kind::kOther;
  }
}

std::string_view JsonCursor::KindName(Kind kind) {
  switch (kind) {
    case Kind::kObject:
      return "Object";
    case Kind::kArray:
      return "Array";
    case Kind::kString:
      return "String";
    case Kind::kNumber:
      return "Number";
    case Kind::kBool:
      return "Boolean";
    case Kind::kNull:
      return "Null";
    case Kind::kEnd:
      return "Nothing";
    case Kind::kOther:
      break;
  }
  return "Invalid";
}

bool JsonCursor::Fail(Status status) {
  if (error_.ok()) error_ = std::move(status);
  return false;
}

bool JsonCursor::Fail(std::string_view what) {
  return Fail(InvalidArgumentError(StrCat("JSON Parse error: ", what, " at offset: ", position())));
}

bool JsonCursor::FailedAlready() {
  // A visitor that gave up without a word.
  if (error_.ok()) Fail("Invalid value");
  return false;
}

bool JsonCursor::Enter(char open, std::string_view what) {
  if (!error_.ok()) return false;
  if (!TryConsume(open)) return Fail(StrCat("Expecting ", what));
  if (++depth_ > kMaxDepth) return Fail(StrCat("Nested deeper than ", kMaxDepth, " levels"));
  return true;
}

bool JsonCursor::Literal(std::string_view word) {
  if (static_cast<size_t>(end_ - at_) < word.size() ||
      std::memcmp(at_, word.data(), word.size()) != 0) {
    return Fail("Invalid value");
  }
  at_ += word.size();
  return true;
}

bool JsonCursor::Bool(bool& out) {
  if (Peek() != Kind::kBool) return Fail("Expecting true or false");
  out = *at_ == 't';
  return Literal(out ? "true" : "false");
}

bool JsonCursor::Null() {
  if (Peek() != Kind::kNull) return Fail("Expecting null");
  return Literal("null");
}

bool JsonCursor::String(std::string_view& out, std::string& scratch) {
  if (!TryConsume('"')) return Fail("Expecting a string");
  const char* start = at_;
  bool escaped = false;
  unsigned char seen = 0;
  for (;; ++at_) {
    if (at_ == end_) return Fail("Missing a closing quotation mark in string");
    auto c = static_cast<unsigned char>(*at_);
    if (c == '"') break;
    if (c < 0x20) return Fail("Control character in string");
    seen |= c;
    if (c == '\\') {
      escaped = true;
      if (++at_ == end_) return Fail("Missing a closing quotation mark in string");
    }
  }
  std::string_view raw(start, static_cast<size_t>(at_ - start));
  if ((seen & 0x80) != 0 && !simdjson::validate_utf8(raw.data(), raw.size())) {
    return Fail("Invalid UTF-8 in string");
  }
  ++at_;
  if (!escaped) {
    out = raw;
    return true;
  }
  if (!Unescape(raw, scratch)) return false;
  out = scratch;
  return true;
}

bool JsonCursor::Unescape(std::string_view raw, std::string& out) {
  out.clear();
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    switch (raw[++i]) {
      case '"':
        out += '"';
        break;
      case '\\':
        out += '\\';
        break;
      case '/':
        out += '/';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u': {
        int32_t code = Hex4(raw.substr(i + 1));
        if (code < 0) return Fail("Incorrect hex digit after \\u escape in string");
        i += 4;
        if (code >= 0xDC00 && code < 0xE000) return Fail("The surrogate pair in string is invalid");
        if (code >= 0xD800 && code < 0xDC00) {
          int32_t low = raw.substr(i + 1, 2) == "\\u" ? Hex4(raw.substr(i + 3)) : -1;
          if (low < 0xDC00 || low >= 0xE000) return Fail("The surrogate pair in string is invalid");
          i += 6;
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        AppendUtf8(out, static_cast<uint32_t>(code));
        break;
      }
      default:
        return Fail("Invalid escape character in string");
    }
  }
  return true;
}

const char* JsonCursor::NumberEnd() const {
  const char* p = at_;
  auto digits = [&] {
    const char* start = p;
    while (p != end_ && IsDigit(*p)) ++p;
    return p - start;
  };
  if (p != end_ && *p == '-') ++p;
  const char* whole = p;
  auto count = digits();
  if (count == 0 || (count > 1 && *whole == '0')) return nullptr;
  if (p != end_ && *p == '.') {
    ++p;
    if (digits() == 0) return nullptr;
  }
  if (p != end_ && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end_ && (*p == '+' || *p == '-')) ++p;
    if (digits() == 0) return nullptr;
  }
  return p;
}

bool JsonCursor::Double(double& out) {
  if (TryShortDecimal(out)) return true;
  if (at_ == end_) return Fail("Expecting a number");
  bool negative = *at_ == '-';
  char next = at_ + negative == end_ ? '\0' : at_[negative];
  if (next == 'N' || next == 'I') {
    if (negative && next == 'N') return Fail("Invalid value");
    at_ += negative;
    double value = next == 'N' ? std::numeric_limits<double>::quiet_NaN()
                               : std::numeric_limits<double>::infinity();
    if (!Literal(next == 'N' ? "NaN" : "Infinity")) return false;
    out = negative ? -value : value;
    return true;
  }
  const char* end = NumberEnd();
  if (end == nullptr) return Fail("Invalid number");
  auto [parsed, error] = std::from_chars(at_, end, out);
  if (error == std::errc::result_out_of_range) {
    // from_chars does not say which way: a negative exponent, or none but leading zeros, means too
    // small.
    std::string_view text(at_, static_cast<size_t>(end - at_));
    size_t e = text.find_first_of("eE");
    bool small = e != std::string_view::npos ? text[e + 1] == '-' : text[negative] == '0';
    out = small ? 0.0 : std::numeric_limits<double>::infinity();
    if (negative) out = -out;
  } else if (error != std::errc()) {
    return Fail("Invalid number");
  }
  at_ = end;
  return true;
}

bool JsonCursor::Integer(IntegerValue& out) {
  out = {};
  SkipSpace();
  const char* start = at_;
  const char* end = NumberEnd();
  if (end == nullptr) {  // NaN, Infinity, or no number at all
    double ignored;
    return Double(ignored);
  }
  const char* p = start;
  out.negative = *p == '-';
  p += out.negative;
  auto [digits_end, error] = std::from_chars(p, end, out.magnitude);
  out.integer = digits_end == end;
  out.overflow = error == std::errc::result_out_of_range;
  if (out.overflow) {  // from_chars stops where the digits end all the same
    out.integer = true;
    for (const char* c = p; c != end; ++c) out.integer = out.integer && IsDigit(*c);
  }
  at_ = end;
  return true;
}

bool JsonCursor::Skip() {
  switch (Peek()) {
    case Kind::kObject:
      return Object([this](std::string_view) { return Skip(); });
    case Kind::kArray:
      return Array([this](size_t) { return Skip(); });
    case Kind::kString: {
      std::string_view text;
      std::string scratch;
      return String(text, scratch);
    }
    case Kind::kNumber: {
      double ignored;
      return Double(ignored);
    }
    case Kind::kBool: {
      bool ignored;
      return Bool(ignored);
    }
    case Kind::kNull:
      return Null();
    case Kind::kEnd:
    case Kind::kOther:
      break;
  }
  return Fail("Invalid value");
}

bool JsonCursor::End() {
  if (!error_.ok()) return false;
  SkipSpace();
  if (at_ != end_) return Fail("The document root must not be followed by other values");
  return true;
}

std::string JsonCursor::Excerpt() {
  SkipSpace();
  constexpr size_t kLongest = 40;
  std::string_view rest(at_, static_cast<size_t>(end_ - at_));
  size_t length = 0;
  bool composite = !rest.empty() && (rest[0] == '[' || rest[0] == '{' || rest[0] == '"');
  while (length < rest.size() && length < kLongest) {
    char c = rest[length];
    if (!composite && (c == ',' || c == ']' || c == '}')) break;
    ++length;
    if (composite && length > 1 &&
        ((rest[0] == '"' && c == '"') || (rest[0] == '[' && c == ']') ||
         (rest[0] == '{' && c == '}'))) {
      return std::string(rest.substr(0, length));
    }
  }
  std::string text(Trim(CutUtf8(rest, length)));
  if (length == kLongest) text += "…";
  return text;
}

}  // namespace leadsman
