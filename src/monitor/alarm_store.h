#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/alarm_book.h"
#include "monitor/alarm_notice.h"

namespace leadsman {

/// Alarms, silences and what is still owed to receivers on the disk, so that a restart neither tells anything again nor
/// forgets it: the tables `alarms`, `silences` and `owed` of an SQLite file. Save hands over the whole and returns at once; a
/// thread writes what is new in the newest, and when the disk fails, tries again every few seconds. Thread-safe.
class AlarmStore {
 public:
  struct Owed {
    std::string receiver;
    std::shared_ptr<const AlarmNotice> notice;
  };
  struct Content {
    std::vector<Alarm> alarms;
    std::vector<Silence> silences;
    std::vector<Owed> owed;  ///< of each receiver, the oldest first
  };
  /// `path` empty: nothing is kept. DATA_LOSS when what is there cannot be read, UNAVAILABLE when it cannot be opened. A disk
  /// without room is no error: what lies there is read, and it is tried again to open it, and write. What cannot even be read
  /// then is not written over.
  static Result<std::unique_ptr<AlarmStore>> Open(const std::string& path);
  ~AlarmStore();  ///< writes what is left, once, and waits for it
  AlarmStore(const AlarmStore&) = delete;
  AlarmStore& operator=(const AlarmStore&) = delete;

  /// What was there when the store was opened; once.
  Content TakeFound();
  void Save(Content content);
  /// The same, of this part alone.
  void SaveOwed(std::vector<Owed> owed);
  /// Waits until what was saved is on the disk, for at most so long. False: it is not, or there is none.
  bool AwaitWritten(std::chrono::milliseconds most);
  /// Writes what is left, once, and takes no more. False: it was not done after `most`, and nothing ends a write to a disk that
  /// hangs; the destructor would wait for it.
  bool StopWithin(std::chrono::milliseconds most);
  uint64_t errors() const;  ///< transactions that failed
  /// What keeps it from being written, and since when.
  struct Trouble {
    std::string why;
    WallTime since{};
  };
  std::optional<Trouble> trouble() const;

 private:
  struct Impl;
  explicit AlarmStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman
