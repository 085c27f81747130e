#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/schema.h"

namespace leadsman::intake {

/// Which of the requests that pass an Envoy are of which model. What a rule gives of path, host and cluster must all fit; the
/// first rule that fits counts, and says only what the request itself does not.
struct EnvoyRule {
  std::string path;     ///< whole, or a beginning with * at the end: such POSTs are predictions
  std::string host;     ///< the request's authority, without its port
  std::string cluster;  ///< Envoy's upstream cluster
  std::string model;    ///< of requests that name none
  int64_t version = 0;  ///< of requests that name none; 0: not known

  bool operator==(const EnvoyRule&) const = default;
};

/// The port at which Envoy tells of requests: by its access log service, by ext_proc, or both.
struct EnvoyOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 9901;
  std::vector<EnvoyRule> models;
  size_t max_body = 1 << 20;                  ///< of a request, and of an answer
  size_t max_exchanges = 10'000;              ///< of ext_proc, open at once
  size_t max_held_bytes = size_t{256} << 20;  ///< of all bodies that are being gathered
  std::chrono::milliseconds exchange_timeout{120'000};

  bool operator==(const EnvoyOptions&) const = default;
};

/// The table of `monitor.envoy`. Immutable; thread-safe.
const schema::Struct<EnvoyOptions>& EnvoyOptionsSchema();

}  // namespace leadsman::intake
