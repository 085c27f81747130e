#pragma once

#include <vector>

#include "monitor/capture_loss_watch.h"

namespace leadsman {

class SwitchSink;

namespace intake {
class CloudEventIntake;
class EnvoyIntake;
class EventIntake;
class ExchangeIntake;
class LogIntake;
}  // namespace intake

/// The ways in of one process: each may lose something before the monitor sees it. Null: it is not used.
struct CaptureWays {
  const intake::LogIntake* logs = nullptr;
  const intake::CloudEventIntake* cloudevents = nullptr;
  const intake::EventIntake* events = nullptr;
  const intake::EnvoyIntake* envoy = nullptr;
  const intake::ExchangeIntake* exchanges = nullptr;  ///< of the gateway
  const SwitchSink* handover = nullptr;  ///< of events while another process tries to take over
};

/// What came and what was lost, of the monitor itself and of every way in: what the alarm capture_loss looks at. A loss that is
/// counted anywhere else, and of which nobody is told otherwise, belongs here. Thread-safe.
std::vector<CaptureCounts> ReadCaptureCounts(const Monitor& monitor, const CaptureWays& ways);

}  // namespace leadsman
