#include "intake/log_follower.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "intake/log_follower_state.h"

namespace leadsman {
namespace {

/// The last kTailBytes of both together.
std::string LastBytes(std::string_view before, std::string_view then) {
  if (then.size() >= kTailBytes) return std::string(then.substr(then.size() - kTailBytes));
  const size_t rest = std::min(before.size(), kTailBytes - then.size());
  std::string both(before.substr(before.size() - rest));
  return both.append(then);
}

}  // namespace

LogFollower::LogFollower(Deps deps, FollowerOptions options,
                         const std::optional<Positions>& positions, Deliver deliver)
    : clock_(deps.clock),
      options_(std::move(options)),
      deliver_(std::move(deliver)),
      buffer_(options_.read_bytes) {
  if (!positions) return;
  known_globs_.insert(positions->globs.begin(), positions->globs.end());
  for (const FilePosition& file : positions->files) {
    Content& content = NewContent(file.path, file.real_path);
    content.at = file;
    content.accepted_position = file.mark.position;
    content.accepted_tail = file.mark.tail;
  }
  for (const OpenSearch& search : positions->searches) {
    BeginSearch(search.real_path, search.since_ns);
  }
}
LogFollower::~LogFollower() = default;

LogFollower::Next LogFollower::Poll() {
  TakeAccepted();
  const SteadyTime now = clock_.SteadyNow();
  if (!next_look_ || now >= *next_look_) {
    next_look_ = now + options_.look_interval;
    Look();
  }
  size_t read = 0, blocked = 0;
  while (blocked < turns_.size() && CanRead() && read < options_.max_poll_bytes) {
    Content* content = Find(turns_.front());
    turns_.pop_front();
    if (content == nullptr) continue;
    content->queued = false;
    if (Blocked(*content)) {
      Queue(*content);
      ++blocked;
      continue;
    }
    blocked = 0;
    read += ReadTurn(*content);
    TakeAccepted();
  }
  return {blocked < turns_.size() && CanRead(), next_look_.value_or(now)};
}

void LogFollower::Accept(uint64_t ticket) {
  uint64_t before = accepted_.load();
  while (before < ticket && !accepted_.compare_exchange_weak(before, ticket)) {
  }
}

void LogFollower::TakeAccepted() {
  const uint64_t ticket = accepted_.load();
  while (!outstanding_.empty() && outstanding_.front().ticket <= ticket) {
    const Outstanding& batch = outstanding_.front();
    Content& content = *Find(batch.content);  // not forgotten while it has outstanding batches
    content.accepted_position = batch.position;
    content.accepted_tail = batch.tail;
    --content.outstanding;
    lead_ -= batch.bytes;
    outstanding_.pop_front();
  }
}

Positions LogFollower::Accepted() {
  TakeAccepted();
  Positions positions;
  positions.globs.assign(known_globs_.begin(), known_globs_.end());
  for (const auto& [id, content] : contents_) {
    FilePosition file = content->at;
    file.mark.position = content->accepted_position;
    file.mark.tail = content->accepted_tail;
    file.finished = file.finished && content->outstanding == 0;
    positions.files.push_back(std::move(file));
  }
  for (const auto& [real_path, search] : searches_) {
    positions.searches.push_back({real_path, search.since_ns});
  }
  return positions;
}

LogFollower::Content* LogFollower::Find(uint64_t id) {
  auto found = contents_.find(id);
  return found == contents_.end() ? nullptr : found->second.get();
}

LogFollower::Content& LogFollower::NewContent(const std::string& path,
                                              const std::string& real_path) {
  const uint64_t id = next_id_++;
  auto content = std::make_unique<Content>(id, options_.max_line_bytes);
  content->at.path = path;
  content->at.real_path = real_path;
  return *(contents_[id] = std::move(content));
}

void LogFollower::Attach(Content& content, std::unique_ptr<ContentReader> reader,
                         const FileStamp& stamp, std::string recent) {
  if (!content.reader) ++counters_.files;
  content.reader = std::move(reader);
  content.at.device = stamp.device;
  content.at.inode = stamp.inode;
  content.at.modified_ns = stamp.modified_ns;
  content.at.finished = false;
  content.size = static_cast<uint64_t>(stamp.size);
  content.cutter.Restart(content.at.mark.position);
  content.recent = std::move(recent);
  content.ending = content.away = false;
  content.leaving.reset();
  (void)MatchHead(*content.reader, content.at.mark.head);
  content.caught_up = !content.archive() && content.size <= content.at.mark.position;
  if (!content.caught_up) Queue(content);
}

void LogFollower::CloseReader(Content& content) {
  if (!content.reader) return;
  content.reader.reset();
  content.caught_up = true;
  --counters_.files;
}

void LogFollower::Queue(Content& content) {
  if (content.queued) return;
  content.queued = true;
  turns_.push_back(content.id);
}

bool LogFollower::CanRead() const { return lead_ < options_.max_lead_bytes; }

bool LogFollower::Blocked(Content& content) {
  while (Content* before = Find(content.after)) {
    if (before->reader && !before->caught_up) return true;
    // Open still for what a late writer may bring, which nobody waits for.
    if (!before->at.finished) return Blocked(*before);
    content.after = before->after;
  }
  return false;
}

size_t LogFollower::ReadTurn(Content& content) {
  if (!content.reader) {
    if (content.ending) Finish(content);
    return 0;
  }
  const uint64_t begin = content.cutter.next();
  char* const into = buffer_.At(begin);
  auto read = content.reader->ReadAt(begin, into, buffer_.size());
  if (!read.ok()) {
    ReadFailed(content, read.status());
    return 0;
  }
  const std::string_view chunk(into, *read);
  if (!content.archive() && !chunk.empty()) {
    // Truncated and written anew since it was looked at? Then these bytes may be of both contents.
    auto stamp = content.reader->Stamp();
    if (!stamp.ok() || static_cast<uint64_t>(stamp->size) < begin + chunk.size() ||
        MatchHead(*content.reader, content.at.mark.head) != Match::kSame) {
      next_look_.reset();
      return 0;
    }
    content.size = static_cast<uint64_t>(stamp->size);
    content.at.modified_ns = stamp->modified_ns;
  }
  lines_.clear();
  const uint64_t nuls = content.cutter.nul_bytes();
  content.cutter.Feed(chunk, lines_);
  counters_.nul_bytes += content.cutter.nul_bytes() - nuls;
  Give(content, chunk, lines_);
  if (chunk.ends_with('\0') && content.cutter.only_nuls_wait()) {
    const uint64_t next = content.cutter.next(), data = content.reader->DataFrom(next);
    if (data > next) {
      content.cutter.SkipHole(data - next);
      content.recent.clear();
    }
  }
  if (chunk.size() == buffer_.size() || (content.ending && !chunk.empty())) {
    Queue(content);
    return chunk.size();
  }
  content.caught_up = true;
  if (content.ending || (content.archive() && content.reader->whole())) Finish(content);
  return chunk.size();
}

void LogFollower::ReadFailed(Content& content, const Status& status) {
  Problem(content.reader->path(), status);
  if (content.archive()) {
    Finish(content);  // what comes after the damage cannot be read
    return;
  }
  CloseReader(content);
  // Its path opens it again, or the search finds it where it lies now.
  BeginSearch(content.at.real_path, kOnlyKnown);
}

void LogFollower::Give(Content& content, std::string_view chunk, std::span<const LogLine> lines) {
  const uint64_t begin = content.cutter.next() - chunk.size();
  while (!lines.empty()) {
    const auto batch = lines.first(std::min(lines.size(), options_.max_batch_lines));
    lines = lines.subspan(batch.size());
    const uint64_t end = batch.back().offset + batch.back().raw_bytes;
    GiveBatch(content, batch, PrintOf(LastBytes(content.recent, chunk.substr(0, end - begin))));
  }
  content.recent = LastBytes(content.recent, chunk);
}

void LogFollower::GiveBatch(Content& content, std::span<const LogLine> lines, BytesPrint tail) {
  const uint64_t end = lines.back().offset + lines.back().raw_bytes;
  const uint64_t bytes = end - lines.front().offset;
  for (const LogLine& line : lines) {
    if (line.cut_bytes == 0) continue;
    ++counters_.cut_lines;
    counters_.cut_bytes += line.cut_bytes;
  }
  counters_.lines += lines.size();
  counters_.bytes += bytes;
  content.at.mark.position = end;
  content.at.mark.tail = tail;
  outstanding_.push_back({++last_ticket_, content.id, end, tail, bytes});
  ++content.outstanding;
  lead_ += bytes;
  deliver_({content.at.path, content.id, lines, last_ticket_, content.reader.get()});
}

void LogFollower::Finish(Content& content) {
  if (content.archive() && !content.reader->whole()) {
    Problem(content.reader->path(),
            DataLossError("the archive is cut off; read as far as it goes"));
  }
  const BytesPrint tail = PrintOf(content.recent);
  if (auto line = content.cutter.Finish()) {
    ++counters_.unfinished;
    GiveBatch(content, {&*line, 1}, tail);
  } else if (content.outstanding == 0 && content.cutter.next() > content.at.mark.position) {
    // Nothing but NULs waited; behind them, so that they are not taken for something new.
    content.accepted_position = content.at.mark.position = content.cutter.next();
    content.accepted_tail = content.at.mark.tail = tail;
  }
  content.at.finished = true;
  content.at.current = false;
  content.ending = false;
  content.leaving.reset();
  CloseReader(content);
}

}  // namespace leadsman
