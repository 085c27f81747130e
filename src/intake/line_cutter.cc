#include "intake/line_cutter.h"

#include <algorithm>
#include <cstring>

namespace leadsman {
namespace {
/// What a log line hardly ever needs is given back once it is through.
constexpr size_t kKeptCapacity = 16 * 1024;

void Shrink(std::string& text) {
  if (text.capacity() > kKeptCapacity) std::string().swap(text);
  text.clear();
}
}  // namespace

void LineCutter::Restart(uint64_t offset) {
  line_start_ = next_ = offset;
  cut_bytes_ = 0;
  Shrink(pending_);
  Shrink(joined_);
}

void LineCutter::Keep(std::string_view piece) {
  if (pending_.empty() && cut_bytes_ == 0) {
    // In front of a line NULs are no text: a hole that copytruncate left under a writer that does not
    // append, or what a power cut left.
    const size_t nuls = std::min(piece.find_first_not_of('\0'), piece.size());
    nul_bytes_ += nuls;
    piece.remove_prefix(nuls);
  }
  // One byte more than a line may have: it may be the \r of its end.
  const size_t room = max_line_ + 1 - pending_.size();
  const size_t kept = std::min(room, piece.size());
  pending_.append(piece.substr(0, kept));
  cut_bytes_ += piece.size() - kept;
}

void LineCutter::Cut(std::string_view text, uint64_t end, LogLine& line) {
  if (text.starts_with('\0')) {
    const size_t nuls = std::min(text.find_first_not_of('\0'), text.size());
    nul_bytes_ += nuls;
    text.remove_prefix(nuls);
  }
  // Of a line that is cut the \r is cut too, in whatever pieces it came.
  if (text.ends_with('\r') && cut_bytes_ == 0 && text.size() <= max_line_ + 1) {
    text.remove_suffix(1);
  }
  if (text.size() > max_line_) {
    cut_bytes_ += text.size() - max_line_;
    text = text.substr(0, max_line_);
  }
  line.text = text;
  line.offset = line_start_;
  line.raw_bytes = end - line_start_;
  line.cut_bytes = cut_bytes_;
  line_start_ = end;
  cut_bytes_ = 0;
}

void LineCutter::Feed(std::string_view chunk, std::vector<LogLine>& lines) {
  const char* at = chunk.data();
  const char* const end = at + chunk.size();
  const uint64_t begin = next_;
  auto newline = [&]() -> const char* {
    return static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
  };
  next_ += chunk.size();
  if (line_start_ < begin) {
    const char* stop = newline();
    Keep({at, static_cast<size_t>((stop != nullptr ? stop : end) - at)});
    if (stop == nullptr) return;
    at = stop + 1;
    Shrink(joined_);
    joined_.swap(pending_);
    Cut(joined_, begin + static_cast<uint64_t>(at - chunk.data()), lines.emplace_back());
  }
  while (at < end) {
    const char* stop = newline();
    if (stop == nullptr) break;
    const std::string_view text(at, static_cast<size_t>(stop - at));
    at = stop + 1;
    Cut(text, begin + static_cast<uint64_t>(at - chunk.data()), lines.emplace_back());
  }
  if (at < end) Keep({at, static_cast<size_t>(end - at)});
}

std::optional<LogLine> LineCutter::Finish() {
  if (line_start_ == next_) return std::nullopt;
  if (only_nuls_wait()) {
    line_start_ = next_;
    return std::nullopt;
  }
  Shrink(joined_);
  joined_.swap(pending_);
  LogLine line;
  Cut(joined_, next_, line);
  line.unfinished = true;
  return line;
}

}  // namespace leadsman
