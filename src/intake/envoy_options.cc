#include "intake/envoy_options.h"

#include "base/strings.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

std::string CheckRulePath(const std::string& path) {
  return path.empty() || path.starts_with('/') ? "" : "must begin with /, as /score or /api/*";
}

std::string CheckRuleModel(const std::string& model) {
  if (model.size() > 128) return "must have at most 128 characters";
  for (char c : model)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) return "may have no control characters";
  return "";
}

const schema::Struct<EnvoyRule>& EnvoyRuleSchema() {
  static const auto table = [] {
    schema::Struct<EnvoyRule> s(
        "EnvoyRule",
        "Of which model requests are, by what they have in common. All that is given must fit.");
    s.Field("path", &EnvoyRule::path, schema::TextWith("", CheckRulePath),
            "As /score, or /api/* with a `*` at the end for anything: POSTs to it are predictions; "
            "those of known protocols are without a rule.");
    s.Field("host", &EnvoyRule::host, schema::Text(),
            "The request's host (authority), without a port.");
    s.Field("cluster", &EnvoyRule::cluster, schema::Text(),
            "Envoy's upstream cluster. ext_proc tells it when request_attributes has "
            "xds.cluster_name.");
    s.Field("model", &EnvoyRule::model, schema::TextWith("", CheckRuleModel),
            "The model of requests that name none; empty = `default`.");
    s.Field("version", &EnvoyRule::version, schema::Integer<int64_t>(0),
            "The version of requests that name none, as of a cluster that serves a canary; 0 = not "
            "known.");
    s.Check([](const EnvoyRule& rule, schema::Problems& problems) {
      if (rule.path.empty() && rule.host.empty() && rule.cluster.empty())
        problems.Add("", "must give path, host or cluster; a rule of all requests is path: /*");
      if (rule.model.empty() && rule.version == 0 && rule.path.empty())
        problems.Add("", "says nothing: give model or version");
    });
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<EnvoyOptions>& EnvoyOptionsSchema() {
  static const auto table = [] {
    schema::Struct<EnvoyOptions> s(
        "EnvoyIntake",
        "The gRPC port at which Envoy tells of requests, by its access log service or by ext_proc; "
        "see docs/envoy.md.");
    s.Field("address", &EnvoyOptions::address, schema::Text(),
            "Where to listen. Whoever reaches the port can tell of requests that never were.");
    s.Field("port", &EnvoyOptions::port, schema::Integer<uint16_t>(0, 65535),
            "0 = any free one, told in the log.");
    s.Field("models", &EnvoyOptions::models, schema::List(schema::Of(EnvoyRuleSchema()), 0, 1000),
            "Of which models requests are that do not say it themselves; the first that fits "
            "counts.");
    s.Field("max_body", &EnvoyOptions::max_body, schema::Bytes<size_t>(0, 16 << 20),
            "ext_proc: what is kept of a request's body, and of an answer's, to be read. Of longer "
            "ones everything counts but features and predictions.");
    s.Field("max_exchanges", &EnvoyOptions::max_exchanges, schema::Integer<size_t>(1, 1'000'000),
            "ext_proc: requests that may be under way at once; those beyond are counted only.");
    s.Field("max_held_bytes", &EnvoyOptions::max_held_bytes,
            schema::Bytes<size_t>(1 << 20, int64_t{1} << 40),
            "ext_proc: memory of all bodies that are being gathered; those beyond are not kept.");
    s.Field("exchange_timeout", &EnvoyOptions::exchange_timeout,
            schema::Time<std::chrono::milliseconds>(1s, 24h),
            "ext_proc: a request that lasts longer counts with what is known of it by then.");
    return s;
  }();
  return table;
}

}  // namespace leadsman::intake
