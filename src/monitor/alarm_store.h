#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "monitor/alarm_book.h"

namespace leadsman {

/// Alarms and silences on the disk, so that a restart neither tells them again nor forgets them: the tables `alarms` and
/// `silences` of an SQLite file. Save hands over the whole and returns at once; a thread writes the newest, and when the disk
/// fails, tries again every few seconds. Thread-safe.
class AlarmStore {
 public:
  struct Content {
    std::vector<Alarm> alarms;
    std::vector<Silence> silences;
  };
  /// `path` empty: nothing is kept. DATA_LOSS when what is there cannot be read, UNAVAILABLE when it cannot be opened.
  static Result<std::unique_ptr<AlarmStore>> Open(const std::string& path);
  ~AlarmStore();  ///< writes what is left, once; waits for the disk for up to two seconds
  AlarmStore(const AlarmStore&) = delete;
  AlarmStore& operator=(const AlarmStore&) = delete;

  /// As it was when the store was opened.
  const Content& found() const;
  void Save(Content content);
  uint64_t errors() const;  ///< transactions that failed

 private:
  struct Impl;
  explicit AlarmStore(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace leadsman
