#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "app/config.h"
#include "app/config_watcher.h"
#include "base/mutex.h"
#include "base/status.h"

namespace leadsman {

/// What a look at a repository has found: a folder of which each sub-folder is a model.
struct RepositoryListing {
  std::map<std::string, std::string> models;   ///< name → path
  std::map<std::string, std::string> ignored;  ///< name → why it is none
  std::vector<std::string> versions;  ///< folders named like versions: it is one model's folder
};

/// Blocks for the file system. Hidden folders and lost+found are passed over.
Result<RepositoryListing> ListRepository(const std::string& folder);

/// Adds the models of `repository.path`, if there is one, to those that are configured; a model that is configured keeps what is
/// said of it, and gets its path there if it has none. INVALID_ARGUMENT when there is none in the folder, unless clients load
/// them (repository.control: explicit); UNAVAILABLE when the folder does not answer within `patience`, as on a dead mount.
Status AddRepositoryModels(Config& config,
                           std::chrono::milliseconds patience = std::chrono::seconds(10));

/// Of the models that were found in the repository.
struct RepositoryChange {
  std::vector<std::string> added, removed;
  bool any() const { return !added.empty() || !removed.empty(); }
};
/// `running` with the models that a look has found now; those of `keep` stay though their folders are gone. Nothing changes
/// while a client's models are in force.
RepositoryChange TakeRepository(const RepositoryListing& found,
                                const std::function<bool(const std::string&)>& keep,
                                Config& running);

/// Looks at a repository again and again, on a thread of its own, and puts in force what two looks in a row have found. A look
/// that fails, or finds no model at all, as where a mount has gone, takes nothing away.
///
/// Thread-safe.
class RepositoryWatch {
 public:
  using Done = std::function<void(const Status&)>;
  using Apply = std::function<Status(const RepositoryListing&)>;

  RepositoryWatch(std::string folder, std::chrono::milliseconds interval, Apply apply);
  ~RepositoryWatch();

  /// RESOURCE_EXHAUSTED when the system has no thread to give.
  Status Start();
  /// Looks now, puts in force what is there, and calls `done` with how that went: on the thread of this class, or at once with
  /// RESOURCE_EXHAUSTED where too many wait, and UNAVAILABLE when this has been stopped.
  void LookNow(Done done);
  /// What is wrong with the repository, for status pages; empty: nothing.
  std::string Note() const;
  /// Nothing is put in force any more, and those who wait get UNAVAILABLE. False when a look, which hangs with its file system,
  /// has not ended after `wait`: then this must go on existing.
  bool StopWithin(std::chrono::milliseconds wait);

 private:
  void Run();
  bool stopped() const;
  std::optional<uint64_t> Look();

  const std::string folder_;
  const std::chrono::milliseconds interval_;
  const Apply apply_;
  std::optional<RepositoryListing> found_;  ///< of the last look; its thread's
  Status looked_;                           ///< why that one has found nothing; likewise
  std::set<std::string> told_;              ///< whose names were logged; likewise
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<Done> waiting_ GUARDED_BY(mutex_);
  std::string note_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = true;
  std::thread thread_;
};

}  // namespace leadsman
