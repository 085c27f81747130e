#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/watched_files.h"
#include "kube/cluster_access.h"
#include "net/tls_client_files.h"

namespace leadsman::kube {

/// What of a ClusterAccess proves who one is, as it is in force: kubelets put new tokens and authorities into a pod's files
/// while it runs. What is no good leaves in force what was.
///
/// Thread-safe. Blocks for a stat of each file at most once a second, and for a file that has changed.
class Credentials {
 public:
  struct Current {
    std::string token;  ///< empty: none
    std::shared_ptr<const net::TlsClient> tls;
  };

  static Result<std::unique_ptr<Credentials>> Create(const ClusterAccess& access, Clock& clock);

  Current Get();
  /// The server did not take them: looks at the files whatever the time. True when others are in force now.
  bool Refresh();

 private:
  explicit Credentials(Clock& clock, std::string token_file);
  Status ReadToken() REQUIRES(mutex_);
  bool Look() REQUIRES(mutex_);
  Current InForce() REQUIRES(mutex_);

  Clock& clock_;
  const std::string token_file_;  ///< empty: the token stays
  Mutex mutex_;
  SteadyTime looked_ GUARDED_BY(mutex_);
  WatchedFiles token_files_ GUARDED_BY(mutex_);
  std::string token_ GUARDED_BY(mutex_);
  std::shared_ptr<net::TlsClientFiles> tls_files_ GUARDED_BY(mutex_);  ///< or
  std::shared_ptr<const net::TlsClient> tls_ GUARDED_BY(mutex_);       ///< what stays
};

}  // namespace leadsman::kube
