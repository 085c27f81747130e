#include "intake/csv_record.h"

#include <algorithm>

#include "intake/find_byte.h"

namespace leadsman::intake {
namespace {

/// Behind the quote that closes a field whose text begins at `at`; null when none does.
const char* BehindQuoted(const char* at, const char* end) {
  while ((at = FindByte(at, end, '"')) != nullptr) {
    if (at + 1 == end || at[1] != '"') return at + 1;
    at += 2;
  }
  return nullptr;
}

}  // namespace

bool QuoteStaysOpen(std::string_view piece, char delimiter, bool open) {
  const char* at = piece.data();
  const char* const end = at + piece.size();
  while (true) {
    if (open && (at = BehindQuoted(at, end)) == nullptr) return true;
    open = false;
    if (at == piece.data() && at != end && *at == '"') {
      ++at;
      open = true;
      continue;
    }
    at = FindByte(at, end, delimiter);
    if (at == nullptr) return false;
    ++at;
    if (at == end) return false;
    if (*at != '"') continue;
    ++at;
    open = true;
  }
}

std::string_view FirstCsvRecord(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const std::string_view line = text.substr(0, text.find('\n'));
  // By whichever of them it is separated: a header hardly holds another one in front of a quote.
  for (char delimiter : {',', ';', '\t'}) {
    size_t end = std::min(text.find('\n'), text.size());
    bool open = QuoteStaysOpen(text.substr(0, end), delimiter, false);
    while (open && end < text.size()) {
      const size_t next = std::min(text.find('\n', end + 1), text.size());
      open = QuoteStaysOpen(text.substr(end + 1, next - end - 1), delimiter, true);
      end = next;
    }
    if (open || end == line.size()) continue;
    std::string_view record = text.substr(0, end);
    if (record.ends_with('\r')) record.remove_suffix(1);
    return record;
  }
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

std::span<const std::string_view> CsvFields::Split(std::string_view record, char delimiter) {
  fields_.clear();
  unquoted_.clear();
  const char* at = record.data();
  const char* const end = at + record.size();
  while (true) {
    if (at != end && *at == '"') {
      const char* begin = at + 1;
      const char* behind = BehindQuoted(begin, end);
      const char* close = behind == nullptr ? end : behind - 1;
      std::string_view text(begin, static_cast<size_t>(close - begin));
      at = behind == nullptr ? end : FindByte(behind, end, delimiter);
      if (at == nullptr) at = end;
      // What stands between the quote and the delimiter belongs to the field, as csv modules read it.
      const bool more = behind != nullptr && at != behind;
      if (more || text.find('"') != std::string_view::npos) {
        // Its views stay valid: never more than the record is.
        if (unquoted_.capacity() < record.size()) unquoted_.reserve(record.size());
        const size_t first = unquoted_.size();
        for (size_t i = 0; i < text.size(); ++i) {
          unquoted_ += text[i];
          if (text[i] == '"') ++i;
        }
        if (more) unquoted_.append(behind, at);
        text = {unquoted_.data() + first, unquoted_.size() - first};
      }
      fields_.push_back(text);
    } else {
      const char* stop = FindByte(at, end, delimiter);
      if (stop == nullptr) stop = end;
      fields_.emplace_back(at, static_cast<size_t>(stop - at));
      at = stop;
    }
    if (at == end) return fields_;
    ++at;
    if (at == end) {
      fields_.emplace_back();
      return fields_;
    }
  }
}

}  // namespace leadsman::intake
