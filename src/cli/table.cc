#include "cli/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "base/strings.h"

namespace leadsman::cli {

std::string Paint::With(std::string_view code, std::string_view text) const {
  if (!on_ || text.empty()) return std::string(text);
  return StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

std::string Paint::State(std::string_view state) const {
  if (state == "ready" || state == "promoted" || state == "probation") return Good(state);
  if (state == "failed" || state == "rolled_back" || state == "aborted") return Bad(state);
  if (state == "observed") return std::string(state);
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
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F steer terminals too
      out += ' ';
      ++i;
    } else {
      out += byte < 0x20 || byte == 0x7f ? ' ' : text[i];
    }
  }
  return out;
}

void Table::Print(std::ostream& out, const Paint& paint, int columns) const {
  constexpr size_t kLeastNote = 20;  // narrower, it says nothing: then it has a line of its own
  constexpr size_t kLeastCell = 8;
  const auto all = static_cast<size_t>(std::max(columns, 0));  // 0: as wide as it is
  const size_t last = rows_[0].size() - 1;
  std::vector<size_t> widths(rows_[0].size());
  std::vector<bool> can_shrink(rows_[0].size(), true);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i]));
      if (row[i].find('\x1b') != std::string::npos) can_shrink[i] = false;
    }
  }
  size_t gap = 2;
  bool last_below = false;
  if (all > 0) {
    auto before_last = [&] {
      return std::accumulate(widths.begin(), widths.end() - 1, gap * last);
    };
    last_below = last > 0 && before_last() + std::min(widths[last], kLeastNote) > all;
    if (!last_below) {
      widths[last] = std::min(widths[last], all - before_last());
    } else {
      if (before_last() - gap > all) gap = 1;
      while (before_last() - gap > all) {
        size_t widest = last;
        for (size_t i = 0; i < last; ++i) {
          if (can_shrink[i] && widths[i] > kLeastCell &&
              (widest == last || widths[i] > widths[widest]))
            widest = i;
        }
        if (widest == last) break;
        --widths[widest];
      }
    }
  }
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    size_t owed = 0;  // blanks are written only before something: no line ends in them
    for (size_t i = 0; i < rows_[r].size() - (last_below ? 1 : 0); ++i) {
      const std::string cell = Shortened(rows_[r][i], all > 0 ? widths[i] : 0);
      if (!cell.empty()) {
        line.append(owed, ' ');
        line += r == 0 ? paint.Bold(cell) : cell;
        owed = 0;
      }
      owed += widths[i] - std::min(widths[i], DisplayWidth(cell)) + gap;
    }
    out << line << '\n';
    if (last_below && r > 0 && !rows_[r].back().empty()) {
      out << Wrapped(StrCat("  ", rows_[r].back()), all, 2) << '\n';
    }
  }
}

std::string Wrapped(std::string_view line, size_t width, size_t indent) {
  std::string out;
  size_t start = 0;  // of what is not written yet
  size_t used = 0;   // columns of the line in hand
  bool begun = false;
  while (start < line.size()) {
    size_t word = line.find_first_not_of(' ', start);
    if (word == line.npos) break;
    size_t end = std::min(line.find(' ', word), line.size());
    std::string_view blanks = line.substr(start, word - start);
    std::string_view text = line.substr(word, end - word);
    size_t needs = blanks.size() + DisplayWidth(text);
    if (begun && used + needs > width) {
      out += '\n';
      out.append(indent, ' ');
      used = indent + DisplayWidth(text);
    } else {
      out += blanks;
      used += needs;
    }
    out += text;
    begun = true;
    start = end;
  }
  return out;
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
