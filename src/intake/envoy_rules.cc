#include "intake/envoy_rules.h"

#include "base/strings.h"

namespace leadsman::intake {
namespace {

std::string_view WithoutPort(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.ends_with(']')) return authority;
  return authority.substr(0, colon);
}

}  // namespace

EnvoyRules::EnvoyRules(const std::vector<EnvoyRule>& rules) {
  for (const EnvoyRule& given : rules) {
    Rule& rule = rules_.emplace_back();
    rule.given = given;
    rule.prefix = given.path.ends_with('*');
    if (rule.prefix) rule.given.path.pop_back();
    if (given.version > 0) rule.version = StrCat(given.version);
  }
}

void EnvoyRules::Apply(EnvoyRequest& request) const {
  LogRecord& record = request.record;
  const bool post = record.method.empty() || record.method == "POST";
  record.inference = record.inference && post;
  for (const Rule& rule : rules_) {
    const EnvoyRule& given = rule.given;
    const bool has_path = !given.path.empty() || rule.prefix;
    if (has_path &&
        !(rule.prefix ? record.path.starts_with(given.path) : record.path == given.path))
      continue;
    if (!given.host.empty() && !EqualsIgnoreCase(given.host, WithoutPort(request.host))) continue;
    if (!given.cluster.empty() && given.cluster != request.cluster) continue;
    if (record.model.empty()) record.model = given.model;
    if (record.version.empty()) record.version = rule.version;
    if (has_path && post) record.inference = true;
    return;
  }
}

}  // namespace leadsman::intake
