#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "intake/envoy_options.h"
#include "intake/log_record.h"

namespace leadsman::intake {

/// One request that Envoy tells of, whichever way.
struct EnvoyRequest {
  LogRecord record;
  std::string_view host;     ///< authority, as sent
  std::string_view cluster;  ///< upstream; empty: not told

  void Clear() { *this = EnvoyRequest(); }
};

/// The rules of a configuration. Immutable; thread-safe.
class EnvoyRules {
 public:
  explicit EnvoyRules(const std::vector<EnvoyRule>& rules);
  /// Puts model and version into the request's record where it names none, and says whether it is a prediction. The record's
  /// texts may point into the rules then.
  void Apply(EnvoyRequest& request) const;

 private:
  struct Rule {
    EnvoyRule given;
    bool prefix = false;  ///< the path had a * at its end
    std::string version;  ///< as text; empty: none
  };
  std::vector<Rule> rules_;
};

}  // namespace leadsman::intake
