#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace leadsman::intake {

/// What a container runtime wraps around the lines of a program.
///
///   kCri     2016-10-06T00:17:09.669794202Z stdout F content        containerd, CRI-O
///   kDocker  {"log":"content\n","stream":"stdout","time":"…Z"}      Docker's json-file
enum class EnvelopeKind { kNone, kCri, kDocker };
std::string_view EnvelopeName(EnvelopeKind kind);  ///< "none", "CRI", "Docker json-file"

/// Which one this line is in. kNone for a line that only looks like one.
EnvelopeKind EnvelopeOf(std::string_view line);

/// Takes lines out of their envelope and joins those that the runtime has cut (at 16 KiB), per stream. What a joined line has
/// beyond `max_bytes` is dropped and counted. Confined to one thread.
///
///   if (std::optional<Envelope::Line> line = envelope.Feed(raw)) parser.Parse(line->content, record);
class Envelope {
 public:
  enum class Stream : uint8_t { kStdout, kStderr };
  struct Line {
    std::string_view
        content;  ///< without a newline; valid until the next Feed(), and while its argument is
    std::optional<int64_t> unix_ns;  ///< when the runtime got the last piece
    Stream stream = Stream::kStdout;
    bool cut = false;  ///< longer than max_bytes: its end is missing
  };
  struct Counts {
    uint64_t joined = 0;     ///< lines made of several pieces
    uint64_t cut = 0;        ///< lines that lost their end
    uint64_t malformed = 0;  ///< lines that are in no such envelope; they are passed on as they are
  };

  explicit Envelope(EnvelopeKind kind, size_t max_bytes = size_t{1} << 20);
  ~Envelope();
  Envelope(Envelope&&) noexcept;
  Envelope& operator=(Envelope&&) noexcept;

  /// Nothing while pieces are missing.
  std::optional<Line> Feed(std::string_view raw) {
    if (raw.ends_with('\r')) raw.remove_suffix(1);
    if (kind_ != EnvelopeKind::kNone) return TakeOut(raw);
    Line line;
    line.cut = raw.size() > max_bytes_;
    if (line.cut) ++counts_.cut;
    line.content = raw.substr(0, max_bytes_);
    return line;
  }
  /// The pieces of a line whose end never came: at the end of a file.
  std::optional<Line> Flush(Stream stream);

  EnvelopeKind kind() const { return kind_; }
  const Counts& counts() const { return counts_; }

 private:
  struct Docker;
  struct Pending {
    std::string text;
    size_t pieces = 0;
    bool cut = false;
    bool given = false;  ///< Feed() has given it away: it goes with the next piece
  };
  std::optional<Line> TakeOut(std::string_view raw);
  std::optional<Line> Join(std::string_view piece, bool last, Line line);
  std::optional<Line> FeedCri(std::string_view raw);
  std::optional<Line> FeedDocker(std::string_view raw);
  Line Malformed(std::string_view raw);

  EnvelopeKind kind_;
  size_t max_bytes_;
  Counts counts_;
  std::array<Pending, 2> pending_;
  std::unique_ptr<Docker> docker_;  ///< keeps the JSON library out of this header
};

}  // namespace leadsman::intake
