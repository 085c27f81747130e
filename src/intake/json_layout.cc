#include "intake/json_layout.h"

#include <algorithm>
#include <array>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace leadsman::intake {
namespace {

constexpr size_t kMaxDepth = 8;
/// Of all that stands between the values.
constexpr size_t kMaxText = 64 << 10;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// What numbers and words are made of.
constexpr std::array<bool, 256> kWordBytes = [] {
  std::array<bool, 256> is{};
  for (unsigned c = 0; c < is.size(); ++c)
    is[c] = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            c == '+' || c == '-' || c == '.';
  return is;
}();
bool IsWordByte(char c) { return kWordBytes[static_cast<unsigned char>(c)]; }

/// Ends a string, or is nothing that a plain one holds.
bool IsNotPlain(char c) { return c == '"' || c == '\\' || static_cast<signed char>(c) < ' '; }

/// The first byte that is not plain; `end` when there is none.
const char* PlainEnd(const char* at, const char* end) {
#ifdef __SSE2__
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i space = _mm_set1_epi8(' ');  // bytes beyond ASCII are negative
  for (; end - at >= 16; at += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i found =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)),
                     _mm_cmplt_epi8(block, space));
    const auto hits = static_cast<unsigned>(_mm_movemask_epi8(found));
    if (hits != 0) return at + __builtin_ctz(hits);
  }
#endif
  return std::find_if(at, end, IsNotPlain);
}

/// As memcmp says it: the texts are too short for a call.
bool Same(const char* a, const char* b, size_t size) {
#ifdef __SSE2__
  if (size >= 16) {
    auto differ = [&](size_t at) {
      const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + at));
      const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + at));
      return _mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) != 0xFFFF;
    };
    for (size_t at = 0; at + 16 < size; at += 16)
      if (differ(at)) return false;
    return !differ(size - 16);
  }
#endif
  auto differ = [&](size_t at) {
    uint64_t x = 0, y = 0;
    std::memcpy(&x, a + at, 8);
    std::memcpy(&y, b + at, 8);
    return x != y;
  };
  if (size < 8) return std::equal(a, a + size, b);
  for (size_t at = 0; at + 8 < size; at += 8)
    if (differ(at)) return false;
  return !differ(size - 8);
}

/// The first byte that no number or word has; `end` when there is none.
const char* WordEnd(const char* at, const char* end) {
#ifdef __SSE2__
  // Most are numbers of a few digits: no branch for each of them.
  const auto all = [](int byte) { return _mm_set1_epi8(static_cast<char>(byte)); };
  /// Bytes from `first` on, so many: signed, the comparison is with the smallest.
  const auto among = [&](__m128i block, char first, int count) {
    return _mm_cmplt_epi8(_mm_sub_epi8(block, all(first + 128)), all(count - 128));
  };
  for (; end - at >= 16; at += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i letters = among(_mm_or_si128(block, all(0x20)), 'a', 26);
    const __m128i digits = among(block, '+', '9' - '+' + 1);  // and +,-./
    const __m128i neither =
        _mm_or_si128(_mm_cmpeq_epi8(block, all(',')), _mm_cmpeq_epi8(block, all('/')));
    const __m128i word = _mm_or_si128(letters, _mm_andnot_si128(neither, digits));
    const auto others = static_cast<unsigned>(_mm_movemask_epi8(word)) ^ 0xFFFFU;
    if (others != 0) return at + __builtin_ctz(others);
  }
#endif
  while (at != end && IsWordByte(*at)) ++at;
  return at;
}

/// "[1, 2.5, null]"; behind it, or null.
const char* ListEnd(const char* at, const char* end) {
  auto skip = [&] {
    while (at != end && IsSpace(*at)) ++at;
  };
  ++at;
  skip();
  if (at != end && *at == ']') return at + 1;
  while (true) {
    const char* word = at;
    while (at != end && IsWordByte(*at)) ++at;
    if (at == word) return nullptr;
    skip();
    if (at == end) return nullptr;
    if (*at == ']') return at + 1;
    if (*at++ != ',') return nullptr;
    skip();
  }
}

/// Behind the value that begins at `at`; null when it is of a kind that no layout knows.
const char* TakeValue(const char* at, const char* end, JsonLayout::Value& value) {
  if (at == end) return nullptr;
  const char* stop = at;
  value.quoted = *at == '"';
  if (value.quoted) {
    stop = PlainEnd(++at, end);
    if (stop == end || *stop != '"') return nullptr;
    value.text = {at, static_cast<size_t>(stop - at)};
    return stop + 1;
  }
  if (*at == '[') {
    stop = ListEnd(at, end);
  } else {
    stop = WordEnd(at, end);
    if (stop == at) return nullptr;
  }
  if (stop != nullptr) value.text = {at, static_cast<size_t>(stop - at)};
  return stop;
}

}  // namespace

/// Goes through one line.
class JsonLayout::Learner {
 public:
  explicit Learner(std::string_view line)
      : at_(line.data()), end_(line.data() + line.size()), gap_(at_) {}

  bool Learn() {
    if (!TakeObject()) return false;
    SkipSpace();
    return at_ == end_ && AddGap();
  }
  JsonLayout Take() { return std::move(layout_); }

 private:
  void SkipSpace() {
    while (at_ != end_ && IsSpace(*at_)) ++at_;
  }
  bool Skip(char c) {
    SkipSpace();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  /// What stands between the last value and here.
  bool AddGap() {
    layout_.text_.append(gap_, at_);
    layout_.sizes_.push_back(static_cast<uint32_t>(at_ - gap_));
    return layout_.text_.size() <= kMaxText;
  }

  bool TakeObject() {
    if (!Skip('{')) return false;
    if (Skip('}')) return true;
    do {
      if (!TakeMember()) return false;
    } while (Skip(','));
    return Skip('}');
  }

  bool TakeMember() {
    if (!Skip('"')) return false;
    const char* name = at_;
    at_ = std::find_if(at_, end_, [](char c) { return c == '"' || c == '\\'; });
    if (at_ == end_ || *at_ == '\\') return false;
    path_.emplace_back(name, at_++);
    if (!Skip(':')) return false;
    SkipSpace();
    const bool object = at_ != end_ && *at_ == '{';
    const bool good = object ? path_.size() < kMaxDepth && TakeObject() : AddValue();
    path_.pop_back();
    return good;
  }

  bool AddValue() {
    if (layout_.paths_.size() == kMaxValues || !AddGap()) return false;
    Value value;
    const char* stop = TakeValue(at_, end_, value);
    if (stop == nullptr) return false;
    for (const std::string& name : path_) path_bytes_ += name.size();
    if (path_bytes_ > kMaxText) return false;
    layout_.paths_.push_back(path_);
    at_ = gap_ = stop;
    return true;
  }

  const char* at_;
  const char* const end_;
  const char* gap_;  ///< behind the last value
  std::vector<std::string> path_;
  size_t path_bytes_ = 0;  ///< of all paths: the outer names stand in each
  JsonLayout layout_;
};

std::optional<JsonLayout> JsonLayout::Of(std::string_view line) {
  Learner learner(line);
  if (!learner.Learn()) return std::nullopt;
  return learner.Take();
}

bool JsonLayout::Read(std::string_view line, std::vector<Value>& values) const {
  const char* at = line.data();
  const char* const end = at + line.size();
  const char* gap = text_.data();
  auto take_gap = [&](size_t size) {
    if (static_cast<size_t>(end - at) < size || !Same(at, gap, size)) return false;
    at += size;
    gap += size;
    return true;
  };
  values.resize(paths_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!take_gap(sizes_[i])) return false;
    at = TakeValue(at, end, values[i]);
    if (at == nullptr) return false;
  }
  return take_gap(sizes_.back()) && at == end;
}

JsonLayout JsonLayout::With(std::span<const Value> values, const std::vector<bool>& fixed) const {
  JsonLayout made;
  size_t gap = 0;      // where it begins in text_
  uint32_t begin = 0;  // of the gap in the making, in made.text_
  auto end_gap = [&] {
    made.sizes_.push_back(static_cast<uint32_t>(made.text_.size()) - begin);
    begin = static_cast<uint32_t>(made.text_.size());
  };
  for (size_t i = 0; i < paths_.size(); ++i) {
    made.text_.append(text_, gap, sizes_[i]);
    gap += sizes_[i];
    if (fixed[i]) {
      const std::string_view quote = values[i].quoted ? "\"" : "";
      made.text_.append(quote).append(values[i].text).append(quote);
    } else {
      end_gap();
      made.paths_.push_back(paths_[i]);
    }
  }
  made.text_.append(text_, gap);
  end_gap();
  return made;
}

}  // namespace leadsman::intake
