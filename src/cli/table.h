#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman::cli {

/// Colours for terminals; plain text elsewhere.
class Paint {
 public:
  explicit Paint(bool on) : on_(on) {}
  std::string Good(std::string_view text) const { return With("32", text); }
  std::string Bad(std::string_view text) const { return With("31", text); }
  std::string Busy(std::string_view text) const { return With("33", text); }
  std::string Faint(std::string_view text) const { return With("2", text); }
  std::string Bold(std::string_view text) const { return With("1", text); }
  /// By the words that states and phases are made of.
  std::string State(std::string_view state) const;
  bool on() const { return on_; }

 private:
  std::string With(std::string_view code, std::string_view text) const;
  bool on_;
};

/// Columns as wide as their content, two blanks between.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  /// `columns` above 0: fits a terminal of that width. The last column, a free text, is cut to what
  /// is left for it, or stands below its row when that is next to nothing; the widest of the others
  /// are cut then.
  void Print(std::ostream& out, const Paint& paint, int columns = 0) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// Columns a terminal needs for it: code points, without colour codes.
size_t DisplayWidth(std::string_view text);
/// At most `width` columns of it, the last of them "…" when something is left out. Text with colour
/// codes stays whole.
std::string Shortened(std::string_view text, size_t width);
/// The line broken at blanks so that it fits `width` columns; what follows is indented. Words that
/// are longer stay whole.
std::string Wrapped(std::string_view line, size_t width, size_t indent);
/// What came from elsewhere, without anything that could steer a terminal.
std::string Clean(std::string_view text);
/// "[#####.....]" or block characters on a terminal; `share` is clamped to 0..1.
std::string Bar(double share, int width, bool blocks);
std::string Percent(double share);
/// "350µs", "1.2ms", "3.4s"
std::string Seconds(double seconds);

}  // namespace leadsman::cli
