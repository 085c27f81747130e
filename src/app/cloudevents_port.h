#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "intake/cloud_event_intake.h"
#include "net/http_server.h"

namespace leadsman {

/// Where loggers of model servers send CloudEvents: POST / on a port of its own. Answered as soon as the event is queued: 200,
/// which KServe's agent counts as success; 400 when it is no CloudEvent, 503 with Retry-After when the queue is full. `listeners`: as of
/// net::HttpServerOptions.
Result<std::unique_ptr<net::HttpServer>> ListenForCloudEvents(const std::string& address,
                                                              uint16_t port,
                                                              intake::CloudEventIntake& intake,
                                                              net::ListenerStore* listeners);

}  // namespace leadsman
