#include "cli/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/strings.h"

namespace leadsman::cli {

std::string Paint::With(std::string_view code, std::string_view text) const {
  if (!on_ || text.empty()) return std::string(text);
  return StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

std::string Paint::State(std::string_view state) const {
  if (state == "ready" || state == "promoted") return Good(state);
  if (state == "failed" || state == "rolled_back" || state == "aborted") return Bad(state);
  if (state == "gone" || state == "empty") return Faint(state);
  return Busy(state);
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
      continue;
    }
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) ++width;
  }
  return width;
}

std::string Shortened(std::string_view text, size_t width) {
  if (width == 0 || DisplayWidth(text) <= width || text.find('\x1b') != text.npos) {
    return std::string(text);
  }
  size_t end = 0;
  for (size_t left = width - 1; left > 0; --left) {
    do {
      ++end;
    } while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  }
  while (end > 0 && text[end - 1] == ' ') --end;
  return StrCat(text.substr(0, end), "…");
}

std::string Clean(std::string_view text) {
  std::string out;
  for (char c : text) out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? ' ' : c;
  return out;
}

void Table::Print(std::ostream& out, const Paint& paint, int columns) const {
  constexpr size_t kLeast = 12;  // narrower, the last column says nothing: then its lines wrap
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  size_t last_width = 0;  // 0: as wide as it is
  if (columns > 0) {
    size_t before = 0;
    for (size_t i = 0; i + 1 < widths.size(); ++i) before += widths[i] + 2;
    auto all = static_cast<size_t>(columns);
    last_width = all >= before + kLeast ? all - before : kLeast;
  }
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    size_t owed = 0;  // blanks are written only before something: no line ends in them
    for (size_t i = 0; i < rows_[r].size(); ++i) {
      const bool is_last = i + 1 == widths.size();
      const std::string cell = Shortened(rows_[r][i], is_last ? last_width : 0);
      if (!cell.empty()) {
        line.append(owed, ' ');
        line += r == 0 ? paint.Bold(cell) : cell;
        owed = 0;
      }
      owed += widths[i] - DisplayWidth(cell) + 2;
    }
    out << line << '\n';
  }
}

std::string Bar(double share, int width, bool blocks) {
  share = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  auto full = static_cast<int>(std::floor(share * width + 1e-9));
  std::string out = "[";
  for (int i = 0; i < width; ++i) out += i < full ? (blocks ? "█" : "#") : (blocks ? "·" : ".");
  return out + "]";
}

std::string Percent(double share) {
  char buffer[32];
  double percent = share * 100;
  bool whole = std::fabs(percent - std::round(percent)) < 0.05;
  std::snprintf(buffer, sizeof buffer, whole ? "%.0f%%" : "%.1f%%", percent);
  return buffer;
}

std::string Seconds(double seconds) {
  char buffer[32];
  if (seconds <= 0) return "-";
  if (seconds < 1e-3) {
    std::snprintf(buffer, sizeof buffer, "%.0fµs", seconds * 1e6);
  } else if (seconds < 1) {
    std::snprintf(buffer, sizeof buffer, "%.1fms", seconds * 1e3);
  } else {
    std::snprintf(buffer, sizeof buffer, "%.1fs", seconds);
  }
  return buffer;
}

}  // namespace leadsman::cli
