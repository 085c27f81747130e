#include "intake/position_journal.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr std::string_view kHeader = "leadsman-positions ";
constexpr int64_t kFormat = 1;
constexpr size_t kMaxBytes = 64 << 20;
constexpr std::chrono::seconds kBetweenSaves{1};

/// A line's words, read one after the other; a wrong one makes all that follow wrong.
class Words {
 public:
  explicit Words(std::string_view line) : words_(Split(line, ' ')) {}

  std::string Text() {
    auto text = UrlDecode(Next());
    ok_ = ok_ && text && !text->empty();
    return ok_ ? *text : std::string();
  }
  template <typename T>
  T Number() {
    const std::string_view word = Next();
    T value{};
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    ok_ = ok_ && error == std::errc() && end == word.data() + word.size();
    return value;
  }
  bool Done() const { return ok_ && at_ == words_.size(); }

 private:
  std::string_view Next() {
    ok_ = ok_ && at_ < words_.size();
    return ok_ ? words_[at_++] : std::string_view();
  }
  std::vector<std::string_view> words_;
  size_t at_ = 0;
  bool ok_ = true;
};

constexpr int kCurrent = 1, kFinished = 2;

std::string LineOf(const FilePosition& file) {
  const ContentMark& mark = file.mark;
  return StrCat("file ", UrlEncode(file.path), ' ', UrlEncode(file.real_path), ' ', file.device,
                ' ', file.inode, ' ', mark.head.bytes, ' ', mark.head.hash, ' ', mark.position, ' ',
                mark.tail.bytes, ' ', mark.tail.hash, ' ', file.modified_ns, ' ', file.seen_hour,
                ' ', (file.current ? kCurrent : 0) + (file.finished ? kFinished : 0), '\n');
}

bool ReadFilePosition(std::string_view words, FilePosition& file) {
  Words word(words);
  file.path = word.Text();
  file.real_path = word.Text();
  file.device = word.Number<uint64_t>();
  file.inode = word.Number<uint64_t>();
  file.mark.head.bytes = word.Number<uint32_t>();
  file.mark.head.hash = word.Number<uint64_t>();
  file.mark.position = word.Number<uint64_t>();
  file.mark.tail.bytes = word.Number<uint32_t>();
  file.mark.tail.hash = word.Number<uint64_t>();
  file.modified_ns = word.Number<int64_t>();
  file.seen_hour = word.Number<int64_t>();
  const int flags = word.Number<int>();
  file.current = (flags & kCurrent) != 0;
  file.finished = (flags & kFinished) != 0;
  return word.Done() && file.mark.head.bytes <= kHeadBytes && file.mark.tail.bytes <= kTailBytes &&
         flags >= 0 && flags <= (kCurrent | kFinished);
}

}  // namespace

std::string SerializePositions(const Positions& positions) {
  std::string text = StrCat(kHeader, kFormat, '\n');
  for (const std::string& glob : positions.globs) text += StrCat("glob ", UrlEncode(glob), '\n');
  for (const FilePosition& file : positions.files) text += LineOf(file);
  for (const OpenSearch& search : positions.searches) {
    text += StrCat("search ", UrlEncode(search.real_path), ' ', search.since_ns, '\n');
  }
  return StrCat(text, "sum ", HashBytes(text), '\n');
}

Result<Positions> ParsePositions(std::string_view text) {
  const Status damaged = DataLossError("the log positions are damaged or cut off");
  if (!text.starts_with(kHeader)) return damaged;
  const auto format = ParseInt64(text.substr(kHeader.size(), text.find('\n') - kHeader.size()));
  if (!format || *format < 1) return damaged;
  if (*format > kFormat) {
    return FailedPreconditionError(
        StrCat("the log positions have format ", *format, ", this program writes ", kFormat,
               "; run the newer program, or move them away to begin anew"));
  }
  const size_t sum = text.rfind("sum ");
  if (sum == std::string_view::npos || text[sum - 1] != '\n' ||
      text.substr(sum) != StrCat("sum ", HashBytes(text.substr(0, sum)), '\n')) {
    return damaged;
  }
  Positions positions;
  std::string_view rest = text.substr(0, sum);
  rest.remove_prefix(rest.find('\n') + 1);
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() + 1);
    if (line.starts_with("glob ")) {
      Words word(line.substr(5));
      positions.globs.push_back(word.Text());
      if (!word.Done()) return damaged;
    } else if (line.starts_with("file ")) {
      if (!ReadFilePosition(line.substr(5), positions.files.emplace_back())) return damaged;
    } else if (line.starts_with("search ")) {
      Words word(line.substr(7));
      OpenSearch& search = positions.searches.emplace_back();
      search.real_path = word.Text();
      search.since_ns = word.Number<int64_t>();
      if (!word.Done()) return damaged;
    } else {
      return damaged;
    }
  }
  return positions;
}

void PositionJournal::RemoveLeftovers() const {
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const std::string begin =
      StrCat(slash == std::string::npos ? path_ : path_.substr(slash + 1), ".tmp-");
  auto names = ListDirectory(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.starts_with(begin)) unlink(JoinPath(folder, name).c_str());
  }
}

Result<std::optional<Positions>> PositionJournal::Load() {
  RemoveLeftovers();  // of a kill while it was written
  auto text = ReadFile(path_, kMaxBytes);
  if (text.status().code() == StatusCode::kNotFound) return std::optional<Positions>();
  if (!text.ok()) return Annotate(text.status(), "log positions");
  auto positions = ParsePositions(*text);
  if (positions.ok()) {
    saved_ = std::move(*text);
    return std::optional(std::move(*positions));
  }
  if (positions.status().code() != StatusCode::kDataLoss) {
    return Annotate(positions.status(), path_);
  }
  const std::string aside = StrCat(path_, ".broken-", UnixMillis(clock_.Now()));
  if (rename(path_.c_str(), aside.c_str()) != 0) {
    return ErrnoStatus(errno, "put the damaged log positions aside:", path_);
  }
  LOG_WARN("the log positions were damaged and are put aside; logs are read as at a first start",
           {"path", path_}, {"kept_as", aside});
  return std::optional<Positions>();
}

Status PositionJournal::Save(const Positions& positions) {
  last_try_ = clock_.SteadyNow();
  std::string text = SerializePositions(positions);
  if (text == saved_) return OkStatus();
  Status status = WriteFileAtomically(path_, text);
  // It tells which files there are and what they begin with.
  if (status.ok()) (void)chmod(path_.c_str(), S_IRUSR | S_IWUSR);
  if (!status.ok()) {
    ++failures_;
    return Annotate(status, "log positions");
  }
  ++saves_;
  saved_ = std::move(text);
  return OkStatus();
}

void PositionJournal::SaveIfDue(const std::function<std::optional<Positions>()>& positions) {
  if (last_try_ && clock_.SteadyNow() - *last_try_ < kBetweenSaves) return;
  last_try_ = clock_.SteadyNow();
  const std::optional<Positions> now = positions();
  if (!now) return;
  const Status status = Save(*now);
  if (!status.ok() && !failing_) {
    LOG_WARN(
        "log positions cannot be saved; after a crash lines are read again from the last that were",
        {"error", status});
  } else if (status.ok() && failing_) {
    LOG_INFO("log positions are saved again", {"path", path_});
  }
  failing_ = !status.ok();
}

}  // namespace leadsman
