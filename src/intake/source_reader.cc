#include "intake/source_reader.h"

#include <algorithm>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"
#include "intake/content_reader.h"
#include "intake/csv_record.h"

namespace leadsman::intake {
namespace {

/// Of a file's lines that are looked at without being read.
constexpr size_t kPeekBytes = 64 << 10;
/// What waits of one file.
constexpr size_t kMaxWaitingBytes = 512 << 10;
/// Contents that are remembered; one that comes back later is recognised anew.
constexpr size_t kMaxFiles = 2048;
constexpr size_t kMaxTold = 4096;
/// Open errors and pieces of lines are closed when nothing came for so long.
constexpr std::chrono::seconds kQuiet{2};
/// Between two looks which of the files that were told of are still there.
constexpr std::chrono::minutes kPruneEvery{1};
/// Fewer that cannot be read are no other format: a line that breaks off, something that was printed in between.
constexpr size_t kFewLines = 8;
/// Lines without a request after which it is asked whether a log is still what it was.
constexpr uint64_t kCheckEvery = 128;

/// The last whole lines of `text`, or its first, at most kRecogniseLines.
std::vector<std::string> LinesOf(std::string_view text, bool last) {
  std::vector<std::string> lines;
  for (std::string_view line : Split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.emplace_back(line);
  }
  if (lines.size() > kRecogniseLines) {
    const auto surplus = static_cast<std::ptrdiff_t>(lines.size() - kRecogniseLines);
    if (last) {
      lines.erase(lines.begin(), lines.begin() + surplus);
    } else {
      lines.erase(lines.end() - surplus, lines.end());
    }
  }
  return lines;
}

/// The lines that end before `offset`; nothing when they cannot be had.
std::vector<std::string> LinesBefore(ContentReader& content, uint64_t offset) {
  if (offset == 0 || content.archive()) return {};
  const uint64_t begin = offset > kPeekBytes ? offset - kPeekBytes : 0;
  std::string text(offset - begin, '\0');
  auto read = content.ReadAt(begin, text.data(), text.size());
  if (!read.ok()) return {};
  text.resize(*read);
  std::string_view whole = text;
  if (begin > 0) whole.remove_prefix(std::min(whole.find('\n'), whole.size()));
  return LinesOf(whole.substr(0, whole.rfind('\n') + 1), true);
}

/// The first record of a content, which is its header when it is CSV.
std::string FirstRecordOf(ContentReader& content) {
  std::string text(kPeekBytes, '\0');
  auto read = content.ReadAt(0, text.data(), text.size());
  if (!read.ok()) return "";
  text.resize(*read);
  return std::string(FirstCsvRecord(text));
}

}  // namespace

SourceReader::SourceReader(Deps deps, const LogSource& source)
    : deps_(deps), options_(source.format_options()), from_(source.from) {
  options_.redactor = deps.redactor;
}

void SourceReader::Preview(const std::string& path) {
  auto reader = ContentReader::Open(path);
  if (!reader.ok()) return TellProblem(path, reader.status());
  std::vector<std::string> lines;
  FormatOptions options = options_;
  options.first_record = FirstRecordOf(**reader);
  if (from_ == LogSource::From::kEnd && !(*reader)->archive()) {
    auto stamp = (*reader)->Stamp();
    if (stamp.ok()) lines = LinesBefore(**reader, static_cast<uint64_t>(stamp->size));
  } else {
    std::string text(kPeekBytes, '\0');
    auto read = (*reader)->ReadAt(0, text.data(), text.size());
    if (!read.ok()) return TellProblem(path, read.status());
    text.resize(*read);
    lines = LinesOf(std::string_view(text).substr(0, text.rfind('\n') + 1), false);
  }
  if (lines.empty()) {
    LOG_INFO("log is followed", {"file", path}, {"reads", "empty yet"});
    return;
  }
  std::vector<std::string_view> views(lines.begin(), lines.end());
  auto found = Recognise(views, options);
  if (found.ok()) {
    TellFound(path, *found);
  } else {
    TellProblem(path, found.status());
  }
}

SourceReader::File& SourceReader::Find(const LineBatch& batch) {
  auto [it, added] = files_.try_emplace(batch.file);
  if (!added) return it->second;
  File& file = it->second;
  file.path = batch.path;
  if (!batch.lines.empty() && batch.content != nullptr) {
    file.before = LinesBefore(*batch.content, batch.lines[0].offset);
    // An archive would be read from its beginning again for what is at hand.
    file.first_record = batch.lines[0].offset == 0 && batch.content->archive()
                            ? std::string(batch.lines[0].text)
                            : FirstRecordOf(*batch.content);
  }
  if (files_.size() > kMaxFiles) DropOldest();
  return files_[batch.file];
}

/// Of those in which nothing waits.
void SourceReader::DropOldest() {
  auto oldest = files_.end();
  for (auto it = files_.begin(); it != files_.end(); ++it) {
    if (!it->second.waiting.empty() || it->second.last_line == SteadyTime{}) continue;
    if (oldest == files_.end() || it->second.last_line < oldest->second.last_line) oldest = it;
  }
  if (oldest == files_.end()) return;
  File& file = oldest->second;
  if (file.reader) {
    file.reader->End(deps_.sink);
    Passed(file);
    Count(file);
  }
  files_.erase(oldest);
}

void SourceReader::Take(const LineBatch& batch) {
  File& file = Find(batch);
  deps_.counters.lines += batch.lines.size();
  for (const LogLine& line : batch.lines) {
    if (line.cut_bytes > 0) {  // is never parsed, tells nothing of the format, and lets nobody wait
      ++deps_.counters.cut;
      ++deps_.counters.malformed;
      continue;
    }
    if (!file.reader) {
      Keep(file, line.text, batch.ticket);
      continue;
    }
    Feed(file, line.text);
    if (file.reader->counts().requests > file.checked.requests) {
      Passed(file);
      continue;
    }
    file.since.emplace_back(line.text);
    file.since_bytes += line.text.size();
    if (file.since.size() >= kCheckEvery || file.since_bytes >= kMaxWaitingBytes)
      CheckStillFits(file);
  }
  file.last_line = deps_.clock.SteadyNow();
  deps_.counters.last_line_ms = UnixMillis(deps_.clock.Now());
  if (file.reader) Count(file);
}

void SourceReader::Feed(File& file, std::string_view line) {
  file.reader->Feed(line, deps_.sink);
  file.flushed = false;
}

void SourceReader::Keep(File& file, std::string_view line, uint64_t ticket) {
  if (file.waiting.empty()) {
    file.waiting_ticket = ticket;
    file.waiting_since = deps_.clock.SteadyNow();
    ++waiting_files_;
  }
  file.waiting.emplace_back(line);
  file.waiting_bytes += line.size();
  if (file.waiting.size() >= kRecogniseLines || file.waiting_bytes >= kMaxWaitingBytes)
    Settle(file);
}

/// Recognises the file by what waits and what lies before, and reads what waits. When it is not recognised, what waited becomes
/// what lies before.
void SourceReader::Settle(File& file) {
  std::vector<std::string> waiting = std::move(file.waiting);
  file.waiting.clear();
  file.waiting_bytes = 0;
  --waiting_files_;

  std::vector<std::string_view> lines;
  const size_t room = kRecogniseLines - std::min(waiting.size(), kRecogniseLines);
  const size_t skip = file.before.size() - std::min(file.before.size(), room);
  lines.assign(file.before.begin() + static_cast<std::ptrdiff_t>(skip), file.before.end());
  lines.insert(lines.end(), waiting.begin(), waiting.end());
  auto found = Recognise(lines, OptionsFor(file));
  if (!found.ok()) {
    deps_.counters.unrecognised += waiting.size();
    TellProblem(file.path, found.status());
    return Forget(file, std::move(waiting));
  }
  TellFound(file.path, *found);
  const bool settled = found->settled;
  Use(file, std::move(*found), waiting);
  if (settled) {
    file.before.clear();
    return;
  }
  // A program that has answered no request yet: what it says is counted, and it is asked again.
  file.reader->Flush(deps_.sink);
  Passed(file);
  Count(file);
  Forget(file, std::move(waiting));
}

void SourceReader::Forget(File& file, std::vector<std::string> before) {
  file.reader.reset();
  file.flushed = true;
  size_t bytes = 0;
  for (const std::string& line : before) bytes += line.size();
  for (auto line = file.before.rbegin();
       line != file.before.rend() && before.size() < kRecogniseLines && bytes < kPeekBytes;
       ++line) {
    bytes += line->size();
    before.insert(before.begin(), std::move(*line));
  }
  auto first = before.begin();
  for (; bytes > kPeekBytes && first != before.end(); ++first) bytes -= first->size();
  before.erase(before.begin(), first);
  file.before = std::move(before);
}

void SourceReader::Count(File& file) {
  const LineReader::Counts& now = file.since.empty() ? file.reader->counts() : file.checked;
  deps_.counters.other_lines += now.other - file.counted.other;
  deps_.counters.malformed += now.malformed - file.counted.malformed;
  deps_.counters.unreadable += now.unreadable - file.counted.unreadable;
  file.counted = now;
  const uint64_t cut = file.reader->envelope_counts().cut;
  deps_.counters.cut += cut - file.counted_cut;
  file.counted_cut = cut;
}

/// The lines since the last request are what they were taken for.
void SourceReader::Passed(File& file) {
  file.checked = file.reader->counts();
  file.since.clear();
  file.since_bytes = 0;
}

/// A service that is configured anew writes other lines into the same file: when none is a request any more, the file becomes
/// what explains them better, from the first of them on. A program that has nothing to answer changes nothing by that.
void SourceReader::CheckStillFits(File& file) {
  const LineReader::Counts& now = file.reader->counts();
  const uint64_t malformed = now.malformed - file.checked.malformed;
  Count(file);  // what came before them, of a reader that may go
  const std::vector<std::string> since = std::exchange(file.since, {});
  const size_t skip = since.size() - std::min(since.size(), kRecogniseLines);
  const std::vector<std::string_view> lines(since.begin() + static_cast<std::ptrdiff_t>(skip),
                                            since.end());
  FormatOptions options = OptionsFor(file);
  // A header that came with new columns is the first of them.
  if (!since.empty()) options.former_header = since.front();
  auto found = Recognise(lines, options);
  if (!found.ok() || found->requests == 0) {
    Passed(file);
    if (malformed * 2 > since.size() && since.size() >= kFewLines)
      TellProblem(file.path,
                  found.ok() ? NotFoundError(StrCat("its lines are no longer ", found->Sentence()))
                             : found.status());
    return;
  }
  LOG_WARN("lines of a log are no longer of its format; they are read anew", {"file", file.path},
           {"lines", since.size()});
  // What the old reader has made of these lines is not counted: they are read again.
  TellFound(file.path, *found);
  Use(file, std::move(*found), since);
}

FormatOptions SourceReader::OptionsFor(const File& file) const {
  FormatOptions options = options_;
  options.first_record = file.first_record;
  if (auto former = headers_.find(file.path); former != headers_.end())
    options.former_header = former->second;
  return options;
}

/// From here on `found` reads the file, beginning with `lines`.
void SourceReader::Use(File& file, Recognition found, const std::vector<std::string>& lines) {
  if (const std::string& header = found.parser->note().header;
      !header.empty() && (headers_.size() < kMaxTold || headers_.contains(file.path)))
    headers_[file.path] = header;
  file.reader.emplace(std::move(found.parser), found.envelope);
  file.counted = {};
  file.counted_cut = 0;
  for (const std::string& line : lines) Feed(file, line);
  Passed(file);
  Count(file);
}

void SourceReader::Tick() {
  const SteadyTime now = deps_.clock.SteadyNow();
  if (now - last_prune_ >= kPruneEvery) {
    last_prune_ = now;
    MutexLock lock(mutex_);
    std::erase_if(told_, [](const auto& told) { return !StampOf(told.first).ok(); });
    CountFiles();
  }
  for (auto& [id, file] : files_) {
    if (!file.waiting.empty() && now - file.waiting_since >= kPatience) Settle(file);
    if (file.flushed || !file.reader || now - file.last_line < kQuiet) continue;
    file.reader->Flush(deps_.sink);
    Passed(file);
    Count(file);
    file.flushed = true;
  }
}

uint64_t SourceReader::settled(uint64_t last_ticket) const {
  if (waiting_files_ == 0) return last_ticket;
  uint64_t settled = last_ticket;
  for (const auto& [id, file] : files_)
    if (!file.waiting.empty()) settled = std::min(settled, file.waiting_ticket - 1);
  return settled;
}

void SourceReader::Finish() {
  for (auto& [id, file] : files_) {
    if (!file.waiting.empty()) Settle(file);
    if (!file.reader) continue;
    if (!file.since.empty()) CheckStillFits(file);
    file.reader->End(deps_.sink);
    Passed(file);
    Count(file);
    file.flushed = true;
  }
}

void SourceReader::TellFound(const std::string& path, const Recognition& found) {
  LogView view{path, std::string(found.format), found.Sentence()};
  {
    MutexLock lock(mutex_);
    if (told_.size() >= kMaxTold && !told_.contains(path)) return;
    Told& told = told_[path];
    const bool known = told.view.format == view.format && found.settled == told.settled;
    told.warned = false;
    if (known) return;
    told.view = view;
    told.settled = found.settled;
    CountFiles();
  }
  LOG_INFO("log is followed", {"file", path}, {"format", view.format}, {"reads", view.sentence});
}

void SourceReader::TellProblem(const std::string& path, const Status& status) {
  {
    MutexLock lock(mutex_);
    if (told_.size() >= kMaxTold && !told_.contains(path)) return;
    Told& told = told_[path];
    told.view = {path, "", std::string(status.message())};
    told.settled = false;
    if (std::exchange(told.warned, true)) return;
    CountFiles();
  }
  LOG_WARN("log is not recognised; its lines are counted, and it is tried again with later ones",
           {"file", path}, {"reason", status.message()});
}

void SourceReader::CountFiles() {
  uint64_t known = 0, unknown = 0;
  for (const auto& [path, told] : told_) ++(told.view.format.empty() ? unknown : known);
  deps_.counters.files = known;
  deps_.counters.unrecognised_files = unknown;
}

std::vector<LogView> SourceReader::views() const {
  std::vector<LogView> views;
  MutexLock lock(mutex_);
  for (const auto& [path, told] : told_) views.push_back(told.view);
  return views;
}

}  // namespace leadsman::intake
