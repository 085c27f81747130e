#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "app/capture_ways.h"
#include "app/config.h"
#include "base/status.h"
#include "monitor/alarm_book.h"
#include "monitor/alarm_loop.h"
#include "monitor/monitor.h"
#include "monitor/request_meter.h"
#include "rollout/controller.h"
#include "stats/registry.h"
#include "telemetry/courier.h"
#include "telemetry/sender_metrics.h"

namespace leadsman {

/// How long a finding waits and an alarm stays, as configured.
AlarmBookOptions BookOptions(const AlarmOptions& options);

/// Alarms of one process: the watches, the loop, and who is told. Built in two steps, as the senders tell the admin API's
/// address, which is known once it listens, and the admin API shows the loop.
class Alarms {
 public:
  struct Deps {
    Clock& clock;
    Registry& registry;
    Monitor& monitor;
    CaptureWays ways;  ///< in, that are used
    /// Whether requests of the model can come.
    std::function<bool(const std::string& model)> expected;
  };
  /// `path`: the file of alarms and silences; empty: they go with the process.
  static Result<std::unique_ptr<Alarms>> Create(Deps deps, const Config& config,
                                                const std::string& path);
  ~Alarms();
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

  /// For further watches, before Start.
  AlarmLoop& loop() { return *loop_; }
  /// `admin_url`: this process's admin API, unless the configuration has an external one.
  Status Start(const std::string& admin_url);
  /// Tells the receivers, if the configuration says so. Any thread.
  void Tell(const RolloutEvent& event);
  void Stop();
  /// What does not get through, and since when: receivers that take nothing, a disk that cannot be written. A line each.
  std::vector<std::string> Notes() const;
  /// All of it, what is left on the disk too. False: the disk has not taken it after `most`, and the destructor would wait
  /// for it. Nobody asks for metrics or alarms any more.
  bool EndWithin(std::chrono::milliseconds most);

 private:
  Alarms(Deps deps, const Config& config) : deps_(std::move(deps)), config_(config.alarms) {}
  void AddWatches(const Config& config);
  Status AddSenders(const std::string& url);
  template <typename T>
  void Add(std::unique_ptr<T> watch);
  template <typename Sender>
  Status AddSender(const std::string& name, Result<std::unique_ptr<Sender>> made);
  AlarmOutbox::Box& OpenBox(const std::string& kind, const std::string& address,
                            AlarmOutbox::Takes takes = AlarmOutbox::Takes::kAll);

  const Deps deps_;
  const Config::Alarms config_;
  std::unique_ptr<RequestMeter> meter_;
  std::unique_ptr<AlarmStore> store_;
  std::unique_ptr<AlarmLoop> loop_;                    ///< after what it uses
  std::vector<std::unique_ptr<AlarmSender>> senders_;  ///< after the loop, whose outbox they use
  std::vector<SenderSource> sources_;
  std::vector<std::function<std::optional<Courier::Trouble>()>> troubles_;  ///< of each of sources_
  std::set<std::string> boxes_;
  std::vector<Registry::Registration> registrations_;
};

}  // namespace leadsman
