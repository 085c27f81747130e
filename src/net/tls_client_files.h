#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/snapshot.h"
#include "base/status.h"
#include "base/watched_files.h"
#include "net/http_client.h"

namespace leadsman::net {

/// The files of one TlsClientOptions as they are in force, for who makes connections all the time: ServerCertificates from
/// the other side. They are read again when they change: whoever owns this calls CheckFiles every few seconds. What is no good
/// leaves in force what was; connections that are open keep what they began with.
///
/// Thread-safe.
class TlsClientFiles {
 public:
  /// Reads the files. INVALID_ARGUMENT, NOT_FOUND … name the option and the file. `whose`: for the log.
  static Result<std::shared_ptr<TlsClientFiles>> Create(TlsClientOptions options, std::string whose,
                                                        Clock& clock);

  /// What a new connection uses.
  std::shared_ptr<const TlsClient> current() const { return current_.Get(); }
  /// Blocks for the files when one of them has changed, otherwise for a stat of each. True when new ones are in force now.
  bool CheckFiles();

 private:
  TlsClientFiles(TlsClientOptions options, std::string whose, WatchedFiles files, std::string texts,
                 std::shared_ptr<const TlsClient> loaded);

  const TlsClientOptions options_;
  const std::string whose_;
  Snapshot<TlsClient> current_;
  Mutex mutex_;
  WatchedFiles files_ GUARDED_BY(mutex_);
  std::string texts_ GUARDED_BY(mutex_);  ///< of the files in force
};

}  // namespace leadsman::net
