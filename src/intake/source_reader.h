#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "intake/line_reader.h"
#include "intake/log_follower.h"
#include "intake/log_source.h"
#include "intake/source_counters.h"
#include "intake/source_view.h"

namespace leadsman::intake {

/// Lines of one source's files → records: finds out what each file is, reads it, and says so in the log.
///
/// The first lines of a file wait until there are enough to recognise it by (kRecogniseLines, or what came within kPatience);
/// those that lie before them in the file help. What no format explains is counted, said once, and tried again with later
/// lines; so is a file whose lines have changed.
///
/// Confined to one thread, but for views().
class SourceReader {
 public:
  static constexpr std::chrono::seconds kPatience{2};

  struct Deps {
    const Clock& clock;
    RecordSink& sink;
    SourceCounters& counters;
    const Redactor* redactor = nullptr;  ///< of lines that are told; null: as they are
  };
  SourceReader(Deps deps, const LogSource& source);

  /// Says what a file is, before a line of it is taken.
  void Preview(const std::string& path);
  void Take(const LineBatch& batch);
  /// What time brings: lines that have waited long enough, errors whose stack trace is over. Now and then.
  void Tick();
  /// No further lines: whatever waits is read as well as it can be.
  void Finish();
  /// What has become records: all batches up to this ticket; lines of later ones wait.
  uint64_t settled(uint64_t last_ticket) const;

  std::vector<LogView> views() const;

 private:
  struct File {
    std::string path;
    std::optional<LineReader> reader;
    LineReader::Counts counted;       ///< of the reader, as far as it is in the counters
    uint64_t counted_cut = 0;         ///< likewise
    std::vector<std::string> before;  ///< lines that lie before, and are not to be read
    std::string first_record;         ///< FormatOptions::first_record
    std::vector<std::string> waiting;
    size_t waiting_bytes = 0;
    SteadyTime waiting_since{};
    uint64_t waiting_ticket = 0;  ///< of the batch with the first of them
    SteadyTime last_line{};
    /// Lines since the last request: not counted yet, since they may be requests of another format.
    std::vector<std::string> since;
    size_t since_bytes = 0;
    LineReader::Counts checked;  ///< before them
    bool flushed = true;         ///< nothing is open in the reader
  };
  struct Told {
    LogView view;
    bool settled = false;
    bool warned = false;  ///< that it is not recognised
  };

  File& Find(const LineBatch& batch);
  void Keep(File& file, std::string_view line, uint64_t ticket);
  void Settle(File& file);
  void Forget(File& file, std::vector<std::string> before);
  void Feed(File& file, std::string_view line);
  void Count(File& file);
  void CheckStillFits(File& file);
  static void Passed(File& file);
  FormatOptions OptionsFor(const File& file) const;
  void Use(File& file, Recognition found, const std::vector<std::string>& lines);
  void TellFound(const std::string& path, const Recognition& found);
  void TellProblem(const std::string& path, const Status& status);
  void CountFiles() REQUIRES(mutex_);
  void DropOldest();

  const Deps deps_;
  FormatOptions options_;
  const LogSource::From from_;
  std::unordered_map<uint64_t, File> files_;              ///< by LineBatch::file
  std::unordered_map<std::string, std::string> headers_;  ///< FormatOptions::former_header, by path
  size_t waiting_files_ = 0;
  SteadyTime last_prune_{};
  mutable Mutex mutex_;
  std::map<std::string, Told> told_ GUARDED_BY(mutex_);  ///< by path
};

}  // namespace leadsman::intake
