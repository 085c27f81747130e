// LogFollower's look at the disk: which content lies where now.
#include <stdlib.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "intake/glob.h"
#include "intake/log_follower.h"
#include "intake/log_follower_state.h"

namespace leadsman {
namespace {

constexpr int64_t kHoursRemembered = 7 * 24;
constexpr size_t kMaxTold = 1000;

std::string RealPath(const std::string& path) {
  struct Free {
    void operator()(char* p) const { free(p); }
  };
  std::unique_ptr<char, Free> real(realpath(path.c_str(), nullptr));
  return real ? std::string(real.get()) : path;
}
std::string_view FolderOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}
std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// Whether a file there can hold what was once written under the log's own name.
bool MayHoldContentOf(std::string_view path, std::string_view log) {
  return path == log ||
         (FolderOf(path) == FolderOf(log) && IsRotatedName(NameOf(path), NameOf(log)));
}

/// Tools that copy a time may do so in whole seconds.
bool WrittenSince(int64_t modified_ns, int64_t since_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  return modified_ns % kSecond == 0 ? modified_ns / kSecond >= since_ns / kSecond
                                    : modified_ns >= since_ns;
}

/// Behind the last newline; the file's end when its last line is longer than allowed. `recent` has the
/// bytes before it.
uint64_t EndOfLastLine(ContentReader& reader, uint64_t size, size_t max_line, std::string& recent) {
  std::string bytes(std::min<uint64_t>(size, max_line + kTailBytes), '\0');
  auto n = reader.ReadAt(size - bytes.size(), bytes.data(), bytes.size());
  if (!n.ok()) return size;
  const uint64_t begin = size - bytes.size();
  bytes.resize(*n);
  const size_t newline = bytes.rfind('\n');
  if (newline != std::string::npos) {
    bytes.resize(newline + 1);
  } else if (begin == 0) {
    bytes.clear();  // one line that is still being written
  }
  const uint64_t position = begin + bytes.size();
  recent = bytes.substr(bytes.size() - std::min(bytes.size(), kTailBytes));
  return position;
}

}  // namespace

void LogFollower::Look() {
  ++look_;
  for (auto& [path, place] : places_) place.seen = false;
  std::map<std::string, bool> paths;  // and whether what is new there is read from its beginning
  left_out_ = 0;
  for (const std::string& glob : options_.globs) {
    const bool from_start = !first_look_ || known_globs_.contains(glob) ||
                            options_.from == FollowerOptions::From::kBeginning;
    GlobResult found = ExpandGlob(glob, 10 * options_.max_files);
    for (const Status& problem : found.problems) Problem(std::string(problem.message()), problem);
    for (std::string& path : found.paths) paths[std::move(path)] |= from_start;
  }
  for (const auto& [path, from_start] : paths) LookAt(path, from_start);
  for (auto place = places_.begin(); place != places_.end();) {
    if (!place->second.seen) LookAtGone(place->second);
    place = place->second.seen ? std::next(place) : places_.erase(place);
  }
  for (auto& [id, content] : contents_) LookAtLeaving(*content);
  if (first_look_) SearchForRotatedMeanwhile();
  RunSearches();
  first_look_ = false;
  known_globs_ = {options_.globs.begin(), options_.globs.end()};
  Forget();
  counters_.left_out = left_out_;
  uint64_t lag = 0;
  for (const auto& [id, content] : contents_) {
    if (!content->reader || content->archive()) continue;
    lag += content->size - std::min(content->size, content->accepted_position);
  }
  counters_.lag_bytes = lag;
}

void LogFollower::Problem(const std::string& what, const Status& status) {
  ++counters_.errors;
  if (told_.size() >= kMaxTold || !told_.insert(what).second) return;
  LOG_WARN("a log cannot be followed; it is tried again", {"error", status});
}

void LogFollower::LookAt(const std::string& path, bool from_start) {
  auto stamp = StampOf(path);
  if (!stamp.ok()) {
    const StatusCode code = stamp.status().code();
    if (code == StatusCode::kNotFound) return;
    Problem(path, stamp.status());
    // A folder or a FIFO in its place: gone. Not allowed to look at any more: still there.
    auto place = places_.find(path);
    if (place != places_.end()) place->second.seen = code != StatusCode::kFailedPrecondition;
    return;
  }
  Place& place = places_[path];
  place.seen = true;
  Content* content = Find(place.content);
  if (content != nullptr) Seen(*content);
  if (place.stamp == *stamp && (content == nullptr || content->reader || content->at.finished)) {
    return;
  }
  if (content != nullptr && content->reader && content->Is(*stamp)) {
    if (Unchanged(*content, *stamp)) {
      place.stamp = *stamp;
      if (content->at.path == path) {
        content->away = false;
        content->leaving.reset();
      }
      Written(*content, *stamp);
      return;
    }
    ReplaceContent(*content);
  } else if (content != nullptr && content->reader && content->at.path == path) {
    content->away = true;  // until it is known what lies here now
    (void)ReplacedWhereItLies(*content);
  }
  place.content = 0;
  place.stamp.reset();
  Adopt(path, place, from_start);
}

void LogFollower::Written(Content& content, const FileStamp& stamp) {
  content.size = static_cast<uint64_t>(stamp.size);
  content.at.modified_ns = stamp.modified_ns;
  if (content.leaving) content.leaving = clock_.SteadyNow();
  if (content.archive() || content.size > content.cutter.next()) Queue(content);
}

void LogFollower::Seen(Content& content) {
  content.look = look_;
  content.at.seen_hour =
      std::chrono::duration_cast<std::chrono::hours>(clock_.Now().time_since_epoch()).count();
}

bool LogFollower::Unchanged(Content& content, const FileStamp& stamp) {
  if (content.size == 0) SearchBehindEmpty(content, stamp);
  if (content.archive()) return true;
  return static_cast<uint64_t>(stamp.size) >= content.cutter.next() &&
         MatchHead(*content.reader, content.at.mark.head) == Match::kSame &&
         MatchContent(*content.reader, content.at.mark) == Match::kSame;
}

bool LogFollower::ReplacedWhereItLies(Content& content) {
  auto stamp = content.reader->Stamp();
  if (stamp.ok() && Unchanged(content, *stamp)) return false;
  ReplaceContent(content);
  return true;
}

void LogFollower::ReplaceContent(Content& content) {
  ++counters_.truncated;
  CloseReader(content);
  content.at.device = content.at.inode = 0;
  content.away = false;
  content.leaving.reset();
  BeginSearch(content.at.real_path, content.at.modified_ns);
  // At once, so that the rest of what was there comes before what is there now.
  SearchFolder(content.at.real_path, searches_[content.at.real_path], false);
}

LogFollower::Found LogFollower::Recognise(ContentReader& reader, const FileStamp& stamp,
                                          const std::string& real_path) {
  Found found;
  Content* empty = nullptr;
  for (auto it = contents_.rbegin(); it != contents_.rend(); ++it) {
    Content& content = *it->second;
    if (!content.Is(stamp)) continue;
    if (content.at.mark.head.bytes == 0) {
      // Nothing was in it when it was seen last: only its inode speaks for it, and that may be used again.
      if (content.reader || !content.at.finished) empty = &content;
      continue;
    }
    BytesPrint head = content.at.mark.head;
    const bool by_head =
        content.at.mark.position == kNeverRead || (reader.archive() && content.at.finished);
    const Match match =
        by_head ? MatchHead(reader, head) : MatchContent(reader, content.at.mark, &found.recent);
    if (match == Match::kSame) {
      found.content = &content;
      return found;
    }
  }
  std::string head(kHeadBytes, '\0');
  auto n = reader.ReadAt(0, head.data(), head.size());
  if (!n.ok()) return found;
  head.resize(*n);
  for (auto it = contents_.rbegin(); it != contents_.rend(); ++it) {
    Content& content = *it->second;
    const ContentMark& mark = content.at.mark;
    if (!MayHoldContentOf(real_path, content.at.real_path)) continue;
    if (content.reader && mark.head.bytes < kHeadBytes) {
      // It may have been written to since the last look, and then compressed.
      (void)MatchHead(*content.reader, content.at.mark.head);
    }
    if (mark.position == kNeverRead || mark.head.bytes == 0) continue;
    // Under its own name a log begins anew; often with the same line. Only a log that has lost its file
    // and has a long beginning is believed to be back in another one (restored, or another device).
    const bool home = real_path == content.at.real_path;
    if (home && (content.at.finished || mark.head.bytes < kHeadBytes ||
                 (content.reader && content.reader->Linked()))) {
      continue;
    }
    if (mark.head.bytes <= head.size() &&
        HashBytes(std::string_view(head).substr(0, mark.head.bytes)) != mark.head.hash) {
      continue;
    }
    const Match match = MatchContent(reader, mark, &found.recent);
    if (match == Match::kSame) {
      found.content = &content;
      found.wait = false;
      found.shorter = nullptr;
      return found;
    }
    if (match == Match::kTooShort && !home) {
      found.wait = true;
      if (mark.head.bytes == kHeadBytes && head.size() == kHeadBytes) found.shorter = &content;
    }
  }
  if (empty != nullptr) found = {empty, {}, false, nullptr};
  return found;
}

bool LogFollower::HasMore(const Content& content, ContentReader& reader, const FileStamp& stamp) {
  if (!reader.archive()) return static_cast<uint64_t>(stamp.size) > content.at.mark.position;
  // A finished archive does not grow.
  if (content.at.finished && content.Is(stamp)) return false;
  char byte;
  auto n = reader.ReadAt(content.at.mark.position, &byte, 1);
  return n.ok() && *n > 0;
}

void LogFollower::Adopt(const std::string& path, Place& place, bool from_start) {
  if (counters_.files >= options_.max_files) {
    if (left_out_++ == 0) {
      Problem("max_files", ResourceExhaustedError(
                               StrCat("more than ", options_.max_files, " log files at once; ",
                                      path, " and others are left out until some end")));
    }
    return;
  }
  auto reader = ContentReader::Open(path);
  if (!reader.ok()) {
    if (reader.status().code() != StatusCode::kNotFound) Problem(path, reader.status());
    return;
  }
  auto stamp = (*reader)->Stamp();
  if (!stamp.ok()) return Problem(path, stamp.status());
  told_.erase(path);
  const std::string real_path = RealPath(path);
  Found found = Recognise(**reader, *stamp, real_path);
  if (found.content != nullptr) {
    AdoptKnown(path, real_path, place, *found.content, std::move(*reader), *stamp,
               std::move(found.recent));
    return;
  }
  if (found.wait) {
    const SteadyTime now = clock_.SteadyNow();
    if (place.undecided != *stamp) {
      place.undecided = *stamp;
      place.undecided_since = now;
    }
    if (now - place.undecided_since < options_.grace) return;
    if (found.shorter != nullptr) {
      place.stamp = *stamp;
      if (!found.shorter->reader) place.content = found.shorter->id;
      return;
    }
  }
  AdoptUnknown(path, real_path, place, std::move(*reader), *stamp, from_start);
}

void LogFollower::AdoptKnown(const std::string& path, const std::string& real_path, Place& place,
                             Content& content, std::unique_ptr<ContentReader> reader,
                             const FileStamp& stamp, std::string recent) {
  place.stamp = stamp;
  const bool home = content.at.path == path && content.at.real_path == real_path;
  if (content.reader && !content.Is(stamp) && content.reader->Linked()) {
    place.content = 0;  // a copy of what is being read
    return;
  }
  place.content = content.id;
  Seen(content);
  if (content.reader && content.Is(stamp)) {  // another way to it, or it came back
    if (home) {
      content.away = false;
      content.leaving.reset();
      content.at.current = true;
    }
    if (static_cast<uint64_t>(stamp.size) != content.size) Written(content, stamp);
    return;
  }
  if (content.at.mark.position == kNeverRead) return;
  if (home && !reader->archive()) {
    if (content.at.mark.head.bytes == 0) SearchBehindEmpty(content, stamp);
    Attach(content, std::move(reader), stamp, std::move(recent));
    content.at.current = true;
    return;
  }
  AttachRotated(content, std::move(reader), stamp, std::move(recent));
}

void LogFollower::AttachRotated(Content& content, std::unique_ptr<ContentReader> reader,
                                const FileStamp& stamp, std::string recent) {
  if (content.at.finished && !HasMore(content, *reader, stamp)) {
    content.at.device = stamp.device;
    content.at.inode = stamp.inode;
    return;
  }
  if (reader->archive()) ++counters_.archives;
  Attach(content, std::move(reader), stamp, std::move(recent));
  content.leaving = clock_.SteadyNow();
}

void LogFollower::AdoptUnknown(const std::string& path, const std::string& real_path, Place& place,
                               std::unique_ptr<ContentReader> reader, const FileStamp& stamp,
                               bool from_start) {
  // Of a rotated file the log itself is remembered: under its name the next rotation is recognised.
  std::string log = real_path;
  Content* before = nullptr;
  for (auto& [id, content] : contents_) {
    if (content->at.real_path != real_path && MayHoldContentOf(real_path, content->at.real_path)) {
      log = content->at.real_path;
    }
    if (content->at.path == path && (before == nullptr || !before->at.current)) {
      before = content.get();
    }
  }
  Content& content = NewContent(path, log);
  Seen(content);
  place.stamp = stamp;
  place.content = content.id;
  place.undecided.reset();
  content.at.current = log == real_path;
  if (before != nullptr) {
    // Behind what rotation has left of it, where that is being read already.
    content.after = before->id;
    for (auto& [id, other] : contents_) {
      if (other->at.real_path == log && other->reader && id != content.id) content.after = id;
    }
    // Its last write is the time after which nobody has looked.
    const int64_t since = before->at.modified_ns;
    Leave(*before);
    BeginSearch(before->at.real_path, since);
  }
  std::string recent;
  if (!from_start) {
    if (reader->archive()) {
      (void)MatchHead(*reader, content.at.mark.head);
      content.at.device = stamp.device;
      content.at.inode = stamp.inode;
      content.at.finished = true;
      content.at.current = false;
      content.accepted_position = content.at.mark.position = kNeverRead;
      return;
    }
    content.accepted_position = content.at.mark.position =
        EndOfLastLine(*reader, static_cast<uint64_t>(stamp.size), options_.max_line_bytes, recent);
    content.accepted_tail = content.at.mark.tail = PrintOf(recent);
    if (log == real_path) NoteRotatedBefore(path, real_path);
  }
  if (reader->archive()) ++counters_.archives;
  Attach(content, std::move(reader), stamp, std::move(recent));
  if (!content.at.current) content.leaving = clock_.SteadyNow();
}

void LogFollower::NoteRotatedBefore(const std::string& path, const std::string& real_path) {
  const std::string folder(FolderOf(real_path));
  auto names = ListDirectory(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name == NameOf(real_path) || !IsRotatedName(name, NameOf(real_path))) continue;
    auto reader = ContentReader::Open(JoinPath(folder, name));
    if (!reader.ok() || (*reader)->archive()) continue;  // archives keep their time of writing
    auto stamp = (*reader)->Stamp();
    if (!stamp.ok() || stamp->size == 0 ||
        Recognise(**reader, *stamp, (*reader)->path()).content != nullptr) {
      continue;
    }
    Content& content = NewContent(path, real_path);
    Seen(content);
    content.at.device = stamp->device;
    content.at.inode = stamp->inode;
    content.at.modified_ns = stamp->modified_ns;
    content.at.finished = true;
    (void)MatchHead(**reader, content.at.mark.head);
    std::string last(std::min<uint64_t>(static_cast<uint64_t>(stamp->size), kTailBytes), '\0');
    content.accepted_position = content.at.mark.position = static_cast<uint64_t>(stamp->size);
    auto n = (*reader)->ReadAt(content.at.mark.position - last.size(), last.data(), last.size());
    if (n.ok()) content.accepted_tail = content.at.mark.tail = PrintOf(last.substr(0, *n));
  }
}

void LogFollower::Leave(Content& content) {
  content.at.current = false;
  if (!content.reader || content.leaving) return;
  ++(content.reader->Linked() ? counters_.renamed : counters_.deleted);
  content.leaving = clock_.SteadyNow();
  content.away = false;
  // What was written since it was last looked at comes before what is written now.
  content.caught_up = false;
  Queue(content);
}

void LogFollower::LookAtGone(Place& place) {
  Content* content = Find(place.content);
  if (content == nullptr || content->at.finished) return;
  if (!content->reader) return BeginSearch(content->at.real_path, kOnlyKnown);
  if (!content->leaving) content->away = true;
}

void LogFollower::LookAtLeaving(Content& content) {
  if (!content.reader || (!content.away && !content.leaving)) return;
  Seen(content);
  auto stamp = content.reader->Stamp();
  if (!stamp.ok()) return ReadFailed(content, stamp.status());
  const SteadyTime now = clock_.SteadyNow();
  if (static_cast<uint64_t>(stamp->size) != content.size ||
      stamp->modified_ns != content.at.modified_ns) {
    if (ReplacedWhereItLies(content)) return;
    Written(content, *stamp);
  }
  if (content.away && !content.leaving && !content.reader->Linked()) {
    ++counters_.deleted;
    content.leaving = now;
    Queue(content);
  }
  if (content.leaving && now - *content.leaving >= options_.grace && content.caught_up) {
    content.ending = true;
    Queue(content);
  }
}

void LogFollower::BeginSearch(const std::string& real_path, int64_t since_ns) {
  const SteadyTime until = clock_.SteadyNow() + options_.grace;
  auto [search, begun] = searches_.try_emplace(real_path, Search{until, since_ns, {}, {}, {}});
  if (begun) return;
  search->second.until = until;
  search->second.since_ns = std::min(search->second.since_ns, since_ns);
  search->second.checked.clear();
}

void LogFollower::SearchBehindEmpty(const Content& content, const FileStamp& stamp) {
  if (stamp.modified_ns != content.at.modified_ns)
    BeginSearch(content.at.real_path, content.at.modified_ns);
}

void LogFollower::SearchForRotatedMeanwhile() {
  for (auto& [id, content] : contents_) {
    if (content->at.current) {
      if (content->reader) continue;  // where it was
      BeginSearch(content->at.real_path, content->at.modified_ns);
    } else if (!content->reader && !content->at.finished) {
      BeginSearch(content->at.real_path, kOnlyKnown);
    }
  }
}

void LogFollower::RunSearches() {
  const SteadyTime now = clock_.SteadyNow();
  for (auto it = searches_.begin(); it != searches_.end();) {
    const std::string& real_path = it->first;
    SearchFolder(real_path, it->second, now >= it->second.until);
    if (now < it->second.until) {
      ++it;
      continue;
    }
    for (auto& [id, content] : contents_) {
      if (content->at.real_path != real_path || content->reader || content->at.finished) continue;
      if (!it->second.copied.contains(id)) ++counters_.lost;
      content->ending = true;
      Queue(*content);
    }
    it = searches_.erase(it);
  }
}

void LogFollower::SearchFolder(const std::string& real_path, Search& search, bool last) {
  struct Unknown {
    FileStamp stamp;
    std::unique_ptr<ContentReader> reader;
  };
  std::vector<Unknown> unknown;
  const std::string folder(FolderOf(real_path));
  auto names = ListDirectory(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::string path = JoinPath(folder, name);
    if (path == real_path || !IsRotatedName(name, NameOf(real_path))) continue;
    auto checked = search.checked.find(path);
    auto seen = StampOf(path);
    if (!seen.ok() || (checked != search.checked.end() && checked->second == *seen)) continue;
    if (counters_.files >= options_.max_files) return;
    auto reader = ContentReader::Open(path);
    if (!reader.ok()) {
      Problem(path, reader.status());
      continue;
    }
    auto stamp = (*reader)->Stamp();
    if (!stamp.ok()) continue;
    Found found = Recognise(**reader, *stamp, path);
    auto place = places_.find(path);
    if (found.content != nullptr) {
      Content& content = *found.content;
      if (content.reader && (content.Is(*stamp) || content.reader->Linked())) continue;
      search.checked[path] = *stamp;
      if (content.at.mark.position == kNeverRead) continue;
      AttachRotated(content, std::move(*reader), *stamp, std::move(found.recent));
      if (place != places_.end()) {
        place->second.content = content.id;
        place->second.stamp = *stamp;
      }
      continue;
    }
    if (found.shorter != nullptr) search.copied.insert(found.shorter->id);
    if (found.wait && !last) {
      // A copy in the making; as long as it grows, it is waited for.
      auto [waiting, fresh] = search.undecided.try_emplace(path, *stamp);
      if (!fresh && waiting->second != *stamp) {
        waiting->second = *stamp;
        search.until = clock_.SteadyNow() + options_.grace;
      }
      continue;
    }
    search.checked[path] = *stamp;
    if (found.shorter == nullptr && place == places_.end() &&
        WrittenSince(stamp->modified_ns, search.since_ns)) {
      unknown.push_back({*stamp, std::move(*reader)});
    }
  }
  std::sort(unknown.begin(), unknown.end(), [](const Unknown& a, const Unknown& b) {
    return a.stamp.modified_ns < b.stamp.modified_ns;
  });
  // Between what the log was and what it is now.
  Content* current = nullptr;
  std::string path = real_path;
  for (auto& [id, content] : contents_) {
    if (content->at.real_path != real_path) continue;
    path = content->at.path;
    if (content->at.current && content->reader) current = content.get();
  }
  for (Unknown& rotated : unknown) {
    Content& content = NewContent(path, real_path);
    ++counters_.archives;
    Attach(content, std::move(rotated.reader), rotated.stamp, {});
    content.leaving = clock_.SteadyNow();
    if (current != nullptr) content.after = std::exchange(current->after, content.id);
  }
}

void LogFollower::Forget() {
  const int64_t hour =
      std::chrono::duration_cast<std::chrono::hours>(clock_.Now().time_since_epoch()).count();
  size_t too_many = contents_.size() - std::min(contents_.size(), options_.max_positions);
  for (auto it = contents_.begin(); it != contents_.end();) {
    const Content& content = *it->second;
    const bool needed = content.reader || content.outstanding > 0 || content.queued ||
                        content.look == look_ || searches_.contains(content.at.real_path);
    const bool old = hour - content.at.seen_hour > kHoursRemembered;
    if (needed || (!old && too_many == 0)) {
      ++it;
      continue;
    }
    if (!old) ++counters_.forgotten;
    if (too_many > 0) --too_many;
    it = contents_.erase(it);
  }
}

}  // namespace leadsman
