#include "intake/read_once.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/strings.h"
#include "intake/content_reader.h"
#include "intake/glob.h"
#include "intake/line_cutter.h"
#include "intake/read_buffer.h"
#include "intake/record_events.h"
#include "intake/source_reader.h"

namespace leadsman::intake {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kMaxFiles = 10'000;

/// A sink that is full is being emptied by another thread.
bool AwaitRoom() {
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  (void)never.WaitFor(mutex, std::chrono::milliseconds(1));
  return true;
}

Status ReadLines(const std::string& path, uint64_t id, SourceReader& reader) {
  ASSIGN_OR_RETURN(auto content, ContentReader::Open(path));
  ReadBuffer buffer(kReadBytes);
  std::vector<LogLine> lines;
  LineCutter cutter(kMaxLineBytes);
  Status broken;
  for (;;) {
    char* const into = buffer.At(cutter.next());
    Result<size_t> size = content->ReadAt(cutter.next(), into, buffer.size());
    if (!size.ok()) broken = size.status();
    if (!size.ok() || *size == 0) break;
    lines.clear();
    cutter.Feed({into, *size}, lines);
    reader.Take({path, id, lines, 0, content.get()});
  }
  lines.clear();
  if (auto last = cutter.Finish()) lines.push_back(*last);
  if (!lines.empty()) reader.Take({path, id, lines, 0, content.get()});
  RETURN_IF_ERROR(broken);
  if (content->archive() && !content->whole())
    return DataLossError(StrCat(path, " is cut off: what it holds was read up to there"));
  return OkStatus();
}

Status ReadFile(const std::string& path, uint64_t id, SourceReader& reader) {
  Status read = ReadLines(path, id, reader);
  reader.Finish();  // also of one that broke off: what came is counted
  return read;
}

}  // namespace

std::vector<SourceView> ReadOnce(const std::vector<LogSource>& sources, const Clock& clock,
                                 Sink& sink, const Redactor* redactor) {
  std::vector<SourceView> views;
  std::set<std::string> read_already;
  for (LogSource source : sources) {
    source.from = LogSource::From::kBeginning;
    SourceCounters counters;
    RecordEvents events({clock, sink, counters, AwaitRoom, redactor}, source);
    SourceReader reader({clock, events, counters, redactor}, source);
    std::vector<LogView> failed;
    uint64_t id = 0;
    const GlobResult found = ExpandGlob(source.path, kMaxFiles);
    for (const Status& problem : found.problems)
      failed.push_back({source.path, "", std::string(problem.message())});
    if (found.truncated)
      failed.push_back(
          {source.path, "", StrCat("more than ", kMaxFiles, " files: the rest is left out")});
    for (const std::string& path : found.paths) {
      if (!read_already.insert(path).second) {
        failed.push_back(
            {path, "", "another source has read it already; its lines are not counted twice"});
        continue;
      }
      Status read = ReadFile(path, ++id, reader);
      if (!read.ok() && read.code() != StatusCode::kNotFound)
        failed.push_back({path, "", std::string(read.message())});
    }
    SourceView view;
    view.source = source.path;
    view.TakeCounters(counters);
    view.other_paths = events.other_paths();
    view.TakeFeatures(events.features());
    view.files = reader.views();
    for (LogView& file : failed) {
      std::erase_if(view.files, [&](const LogView& v) { return v.path == file.path; });
      view.files.push_back(std::move(file));
    }
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace leadsman::intake
