#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "kube/client.h"

namespace leadsman::kube {

/// What has happened to an object, in words for whoever runs `kubectl describe`.
struct Happening {
  Object about;
  bool warning = false;
  std::string reason;  ///< "ImagePullFailed": one word
  std::string action;  ///< "RolledBack": what was done, one word
  std::string note;    ///< a sentence; cut at 1,024 bytes
};

struct EventRecorderOptions {
  std::string controller;  ///< "leadsman.dev/operator"
  std::string instance;    ///< of this process
  size_t max_waiting = 1000;
  size_t max_known = 4096;  ///< happenings that are recognised when they repeat
  /// The same again within this time is counted in the Event that is there.
  Duration series = std::chrono::minutes(10);
  /// And told at most this often.
  Duration between = std::chrono::seconds(60);
};

/// Writes Events, on a thread of its own: Record never waits. The same thing again and again is one Event with a count, so that
/// an object that goes wrong all the time costs a request a minute. Beyond `max_waiting`, and when the server refuses, Events are
/// dropped and counted. Thread-safe.
class EventRecorder {
 public:
  /// RESOURCE_EXHAUSTED when the system has no thread. `client` must outlive it.
  static Result<std::unique_ptr<EventRecorder>> Start(Client& client, EventRecorderOptions options,
                                                      Clock& clock);
  /// Gives the client a moment to write what waits.
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  void Record(Happening happening);
  /// False when something waits still after that time.
  bool Flush(std::chrono::milliseconds timeout);
  uint64_t written() const;
  uint64_t dropped() const;

 private:
  /// An Event that was written.
  struct Known {
    std::string ns, name;
    int64_t count = 1;
    SteadyTime last;  ///< heard of
    SteadyTime told;  ///< to the server
  };

  EventRecorder(Client& client, EventRecorderOptions options, Clock& clock)
      : client_(client), options_(std::move(options)), clock_(clock) {}
  void Run();
  Status Write(const Happening& happening);
  Status WriteNew(const Happening& happening, const std::string& key);
  void ForgetOld();

  Client& client_;
  const EventRecorderOptions options_;
  Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Happening> waiting_ GUARDED_BY(mutex_);
  bool busy_ GUARDED_BY(mutex_) = false;
  bool stop_ GUARDED_BY(mutex_) = false;
  uint64_t written_ GUARDED_BY(mutex_) = 0;
  uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Known> known_;  ///< of the thread alone
  std::thread thread_;
};

}  // namespace leadsman::kube
