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
/// Thread-safe. One caller a second blocks for a stat of each file, and for a file that has changed; the others go on with what
/// is in force.
class Credentials {
 public:
  struct Current {
    std::string token;  ///< empty: none
    std::shared_ptr<const net::TlsClient> tls;
  };

  static Result<std::unique_ptr<Credentials>> Create(const ClusterAccess& access, Clock& clock);

  Current Get();
  /// The server did not take `used`: looks at the files whatever the time, unless others are in force already. True when
  /// others are.
  bool Refresh(const Current& used);

 private:
  explicit Credentials(Clock& clock, std::string token_file);
  Status ReadToken() REQUIRES(files_mutex_);
  void Look() REQUIRES(files_mutex_);
  Current InForce();
  bool IsInForce(const Current& used);

  Clock& clock_;
  const std::string token_file_;                    ///< empty: the token stays
  std::shared_ptr<net::TlsClientFiles> tls_files_;  ///< or; set by Create, as
  std::shared_ptr<const net::TlsClient> tls_;       ///< what stays
  Mutex files_mutex_;                               ///< while files are read; taken before mutex_
  WatchedFiles token_files_ GUARDED_BY(files_mutex_);
  Mutex mutex_;  ///< of each request, so never held for a file
  SteadyTime looked_ GUARDED_BY(mutex_);
  std::string token_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::kube
