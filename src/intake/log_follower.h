#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "intake/content_reader.h"
#include "intake/follower_counters.h"
#include "intake/line_cutter.h"
#include "intake/position_journal.h"
#include "intake/read_buffer.h"

namespace leadsman {

struct FollowerOptions {
  enum class From { kEnd, kBeginning };

  std::vector<std::string> globs;
  /// Where files begin that are there when their pattern is used for the first time. Those that come
  /// later are read from their beginning.
  From from = From::kEnd;
  Duration look_interval = std::chrono::seconds(1);
  /// How long a file that has been rotated away must have been silent before it is given up: its
  /// writer may still have it open. Its last piece without newline is given then.
  Duration grace = std::chrono::seconds(10);
  size_t max_line_bytes = 1 << 20;
  size_t read_bytes = 256 << 10;  ///< at once, from one file
  size_t max_batch_lines = 4096;
  size_t max_lead_bytes = 8 << 20;  ///< given and not accepted
  size_t max_poll_bytes = 4 << 20;  ///< in one Poll
  size_t max_files = 1000;          ///< open at once
  size_t max_positions = 4096;      ///< remembered, of files that are no longer read too
};

/// Lines of one file, in their order.
struct LineBatch {
  const std::string& path;  ///< as its glob gives it, of rotated files too
  /// The same for all batches of one content, in this process. (file, LogLine::offset) names a line.
  uint64_t file = 0;
  std::span<const LogLine> lines;  ///< valid during the call
  /// Counts up by one. Accept(ticket) says that this batch and all before it are taken.
  uint64_t ticket = 0;
  /// What the lines were read from, to look at what lies before them; null when it can be had no more.
  ContentReader* content = nullptr;
};

/// Follows log files through rotation and gives their lines.
///
///   LogFollower follower({clock}, options, positions, [&](const LineBatch& batch) { … });
///   while (!stopped) {
///     auto next = follower.Poll();
///     if (!next.more) wait until next.look, or until something has been accepted
///   }
///
/// Each line is given once: files are known by device, inode and content, so that what was read before
/// it was renamed, copied or compressed is not read again, and what was not is read from where it lies
/// now. After a restart lines begin behind `positions`; see README.md for what is promised.
///
/// Confined to one thread, except Accept and counters(). Poll blocks for the disk and for the callback,
/// never for a FIFO or a writer. Memory: max_lead_bytes is the consumer's; here it is one read buffer,
/// and for each file the piece that waits for its newline (max_line_bytes at most).
class LogFollower {
 public:
  struct Deps {
    const Clock& clock;
  };
  using Deliver = std::function<void(const LineBatch&)>;

  /// `positions` is what Accepted() gave in an earlier process; nothing means a first start.
  LogFollower(Deps deps, FollowerOptions options, const std::optional<Positions>& positions,
              Deliver deliver);
  ~LogFollower();
  LogFollower(const LogFollower&) = delete;
  LogFollower& operator=(const LogFollower&) = delete;

  struct Next {
    bool more =
        false;  ///< there is more to read at once; when false because of the lead, Accept changes that
    SteadyTime look;  ///< when Poll looks at the disk again
  };
  /// Looks at the disk when it is time, and reads what there is within the bounds.
  Next Poll();

  /// Thread-safe. Tickets that were accepted stay so.
  void Accept(uint64_t ticket);

  /// As far as everything before has been accepted. A consumer that stores this together with what it
  /// made of the lines, in one transaction, counts every line exactly once, whenever it is killed.
  Positions Accepted();

  const FollowerCounters& counters() const { return counters_; }

 private:
  struct Content;
  struct Place;
  struct Search;
  struct Outstanding;

  // What is on the disk.
  void Look();
  void LookAt(const std::string& path, bool from_start);
  void LookAtGone(Place& place);
  void LookAtLeaving(Content& content);
  void Problem(const std::string& what, const Status& status);
  bool Unchanged(Content& content, const FileStamp& stamp);
  void ReplaceContent(Content& content);
  /// Truncated and renamed between two looks.
  bool ReplacedWhereItLies(Content& content);

  // Which content a file has.
  struct Found {
    Content* content = nullptr;
    std::string recent;  ///< the bytes before its position
    bool wait = false;   ///< it may become a copy of one that is known
    /// What it is a copy of, if it grows no more: copytruncate's lacks what was written meanwhile, and
    /// that may have been read.
    Content* shorter = nullptr;
  };
  Found Recognise(ContentReader& reader, const FileStamp& stamp, const std::string& real_path);
  static bool HasMore(const Content& content, ContentReader& reader, const FileStamp& stamp);
  void Adopt(const std::string& path, Place& place, bool from_start);
  void AdoptKnown(const std::string& path, const std::string& real_path, Place& place,
                  Content& content, std::unique_ptr<ContentReader> reader, const FileStamp& stamp,
                  std::string recent);
  void AdoptUnknown(const std::string& path, const std::string& real_path, Place& place,
                    std::unique_ptr<ContentReader> reader, const FileStamp& stamp, bool from_start);
  /// Rotated files that are there before a log is followed from its end are not to be read when they
  /// turn up compressed.
  void NoteRotatedBefore(const std::string& path, const std::string& real_path);

  // What rotation left.
  void BeginSearch(const std::string& real_path, int64_t since_ns);
  void SearchForRotatedMeanwhile();
  /// A file that was empty at the last look and has been written to: once, or copied, truncated and
  /// written again.
  void SearchBehindEmpty(const Content& content, const FileStamp& stamp);
  void RunSearches();
  void SearchFolder(const std::string& real_path, Search& search, bool last);

  // Contents.
  Content& NewContent(const std::string& path, const std::string& real_path);
  void Attach(Content& content, std::unique_ptr<ContentReader> reader, const FileStamp& stamp,
              std::string recent);
  void AttachRotated(Content& content, std::unique_ptr<ContentReader> reader,
                     const FileStamp& stamp, std::string recent);
  void CloseReader(Content& content);
  void Seen(Content& content);
  void Written(Content& content, const FileStamp& stamp);
  void Leave(Content& content);
  void Forget();
  Content* Find(uint64_t id);

  // Reading.
  void Queue(Content& content);
  bool Blocked(Content& content);  ///< by one that comes before it
  bool CanRead() const;
  /// How many bytes it has read.
  size_t ReadTurn(Content& content);
  void ReadFailed(Content& content, const Status& status);
  void Give(Content& content, std::string_view chunk, std::span<const LogLine> lines);
  void GiveBatch(Content& content, std::span<const LogLine> lines, BytesPrint tail);
  void Finish(Content& content);
  void TakeAccepted();

  const Clock& clock_;
  const FollowerOptions options_;
  const Deliver deliver_;
  FollowerCounters counters_;
  std::set<std::string> known_globs_;                      ///< that have been looked for already
  std::map<uint64_t, std::unique_ptr<Content>> contents_;  ///< in the order in which they were met
  std::map<std::string, Place> places_;                    ///< by path, what the globs give
  std::map<std::string, Search> searches_;                 ///< by real path
  std::set<std::string> told_;                             ///< problems that were said and last
  std::deque<uint64_t> turns_;                             ///< contents with something to read
  std::deque<Outstanding> outstanding_;
  intake::ReadBuffer buffer_;
  std::vector<LogLine> lines_;
  uint64_t next_id_ = 1;
  uint64_t look_ = 0;
  uint64_t left_out_ = 0;
  uint64_t last_ticket_ = 0;
  std::atomic<uint64_t> accepted_{0};
  uint64_t lead_ = 0;
  bool first_look_ = true;
  std::optional<SteadyTime> next_look_;
};

}  // namespace leadsman
