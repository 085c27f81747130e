#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// One line of a log, without its newline (\n or \r\n) and without NUL bytes in front of it.
struct LogLine {
  std::string_view text;
  uint64_t offset = 0;      ///< where it begins in its file's content
  uint64_t raw_bytes = 0;   ///< what it takes there, newline included
  uint64_t cut_bytes = 0;   ///< left out at its end because it was longer than allowed
  bool unfinished = false;  ///< its file ended before the newline came
};

/// Cuts a stream of bytes into lines; a piece without newline waits for the rest. Holds `max_line`
/// bytes at most, what a line has beyond them is skipped. Pure; confined to one thread.
class LineCutter {
 public:
  explicit LineCutter(size_t max_line) : max_line_(max_line) {}

  /// Begins anew at this offset; what waits is dropped.
  void Restart(uint64_t offset);
  /// Appends the lines that end in `chunk`. Their texts are valid until the next call and as long as
  /// the chunk is.
  void Feed(std::string_view chunk, std::vector<LogLine>& lines);
  /// A hole of so many NUL bytes, only when nothing but NULs waits.
  void SkipHole(uint64_t bytes) { next_ += bytes; }
  /// What waits, as it is.
  std::optional<LogLine> Finish();

  uint64_t line_start() const { return line_start_; }  ///< of the piece that waits
  uint64_t next() const { return next_; }              ///< offset of the byte to be fed next
  bool only_nuls_wait() const { return pending_.empty() && cut_bytes_ == 0; }
  uint64_t nul_bytes() const { return nul_bytes_; }

 private:
  void Keep(std::string_view piece);
  void Cut(std::string_view text, uint64_t end, LogLine& line);

  size_t max_line_;
  uint64_t line_start_ = 0;
  uint64_t next_ = 0;
  uint64_t cut_bytes_ = 0;
  uint64_t nul_bytes_ = 0;
  std::string pending_;
  std::string joined_;  ///< the line whose pieces came in several chunks
};

}  // namespace leadsman
