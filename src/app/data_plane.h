#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "app/config.h"
#include "app/switch_sink.h"
#include "base/clock.h"
#include "base/status.h"
#include "events/redactor.h"
#include "gateway/gateway.h"
#include "intake/exchange_intake.h"
#include "intake/shadow_book.h"
#include "net/listener_store.h"
#include "serving/request_exemplars.h"
#include "stats/registry.h"
#include "telemetry/tracer.h"

namespace leadsman {

/// What requests pass through on their way to other servers, and what it needs: it holds nothing that one process alone may hold.
/// So it goes on while the rest (the control plane: monitor, rollouts, alarms, admin API) stops, to go on in another process or to be
/// built again here. A process that does not proxy has one without a gateway.
///
/// Members stand in the order in which they are built; each may refer to those before it. Thread-safe where its members are;
/// Build belongs to the owner.
struct DataPlane {
  explicit DataPlane(Clock& clock_of_process) : clock(clock_of_process) {}
  ~DataPlane();

  /// What the configuration asks for; once, then it does nothing.
  Status Build(const Config& config);
  bool built() const { return sink.has_value(); }
  /// Where events go: to the control plane, past the tracer.
  Sink& events() { return tracer ? static_cast<Sink&>(*tracer) : *sink; }
  /// Where they end; null: nowhere, they are counted.
  void SetTarget(Sink* target) {
    if (sink) sink->Set(target);
  }
  /// Who reads the bodies of each route. Of a plane with a gateway.
  Status SetSources(gateway::Options& options) const;

  Clock& clock;
  Registry registry;
  net::ListenerStore listeners;
  std::atomic<int> generation{
      0};  ///< how many processes have handed over, to the one before, and so on
  std::atomic<uint64_t> failed_takeovers{0};  ///< by others, of what is here
  RequestExemplars exemplars;
  std::unique_ptr<Redactor> redactor;  ///< null: texts are kept as they come
  /// How the answers of a gateway's mirrors compare; labels come from the monitor.
  const std::shared_ptr<intake::ShadowBook> shadows = std::make_shared<intake::ShadowBook>();
  std::optional<SwitchSink> sink;                     ///< none before Build
  std::unique_ptr<Tracer> tracer;                     ///< null: no traces
  std::unique_ptr<intake::ExchangeIntake> exchanges;  ///< null: nothing is proxied
  std::unique_ptr<gateway::Gateway> gateway;          ///< null: nothing is proxied
  std::atomic<bool> proxying{false};                  ///< the gateway has started
  std::vector<Registry::Registration> registrations;

 private:
  Status BuildTracer(const TracingOptions& options);
  Status BuildGateway(const Config& config);
  void AddMetrics();
};

/// Of this machine; empty when it has none.
std::string HostName();

}  // namespace leadsman
