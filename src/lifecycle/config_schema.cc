#include "lifecycle/config_schema.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "batching/config_schema.h"
#include "storage/stores.h"

namespace leadsman {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

/// As it stands in the file: exactly one of the three.
struct VersionsText {
  std::optional<int> latest;
  std::optional<bool> all;
  std::optional<std::vector<int64_t>> specific;
};

const schema::Struct<VersionsText>& VersionsSchema() {
  static const auto table = [] {
    schema::Struct<VersionsText> s(
        "VersionPolicy",
        "Which versions found in the folder are wanted in memory: exactly one of the three keys. "
        "Without any: {latest: 1}.");
    s.Field("latest", &VersionsText::latest, schema::Optional(schema::Integer<int>(1, 1000)),
            "The highest so many.");
    s.Field("all", &VersionsText::all, schema::Optional(schema::Boolean()), "true: every version.");
    s.Field("specific", &VersionsText::specific,
            schema::Optional(schema::List(schema::Integer<int64_t>(1), 1, 1000)),
            "These, and no other.");
    s.Check([](const VersionsText& v, schema::Problems& problems) {
      int given = (v.latest ? 1 : 0) + (v.all.value_or(false) ? 1 : 0) + (v.specific ? 1 : 0);
      if (given > 1) problems.Add("", "give only one of latest, all and specific");
      if (v.specific &&
          std::set<int64_t>(v.specific->begin(), v.specific->end()).size() != v.specific->size()) {
        problems.Add("specific", "names a version twice");
      }
    });
    return s;
  }();
  return table;
}

VersionPolicy FromText(const VersionsText& text) {
  VersionPolicy policy;
  if (text.all.value_or(false)) {
    policy.kind = VersionPolicy::Kind::kAll;
  } else if (text.specific) {
    policy.kind = VersionPolicy::Kind::kSpecific;
    policy.specific = *text.specific;
  } else if (text.latest) {
    policy.latest = *text.latest;
  }
  return policy;
}

VersionsText ToText(const VersionPolicy& policy) {
  VersionsText text;
  switch (policy.kind) {
    case VersionPolicy::Kind::kLatest:
      text.latest = policy.latest;
      break;
    case VersionPolicy::Kind::kAll:
      text.all = true;
      break;
    case VersionPolicy::Kind::kSpecific:
      text.specific = policy.specific;
      break;
  }
  return text;
}

}  // namespace

std::string CheckModelName(const std::string& name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > 128) return "must have at most 128 characters";
  for (char c : name) {
    bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-' || c == '.';
    if (ok) continue;
    bool printable = c > ' ' && c < 0x7f;
    return StrCat("may contain letters, digits and _ - . only", printable  ? StrCat(", not ", c)
                                                                : c == ' ' ? ", no spaces"
                                                                           : "");
  }
  if (name[0] == '-' || name[0] == '.') return "must not begin with - or .";
  return "";
}

const schema::Struct<ModelConfig>& ModelConfigSchema() {
  static const auto table = [] {
    schema::Struct<ModelConfig> s("ModelConfig", "How one model is loaded and run.");
    s.Required("name", &ModelConfig::name,
               schema::TextWith("letters, digits, _ - .", CheckModelName),
               "The model's name in URLs and metrics.");
    s.Field("path", &ModelConfig::path, schema::TextWith("", CheckModelPath),
            "The folder with one sub-folder a version: path/1, path/2, … Relative to the "
            "configuration file. Or a store: s3://, gs://, hdfs://, webhdfs://, http(s)://, "
            "models:/ (docs/stores.md). Absent: it is served elsewhere and only watched, by logs, "
            "events or Envoy.");
    s.Field("format", &ModelConfig::format, schema::Text(),
            "The format of versions without a manifest.json; empty: found by looking at their "
            "files.");
    s.Field("model_file", &ModelConfig::model_file, schema::Text(),
            "The model's file, or its folder, in a version's folder without a manifest.json; "
            "empty: found "
            "by looking.");
    s.Field("require_manifest", &ModelConfig::require_manifest, schema::Boolean(),
            "true: a version is loaded only once it has a manifest.json, against whose checksums "
            "its files are verified.");
    s.Field("settle_time", &ModelConfig::settle_time, schema::Time<milliseconds>(0ms, 24h),
            "A version without a manifest.json is loaded once its files have not changed for this "
            "long.");
    s.Field("versions", &ModelConfig::policy,
            schema::Via<VersionPolicy, VersionsText>(VersionsSchema(), FromText, ToText),
            "Which versions are wanted in memory.");
    s.Field(
        "swap", &ModelConfig::swap,
        schema::Enum<SwapPolicy>({{"availability_preserving", SwapPolicy::kAvailabilityPreserving},
                                  {"resource_preserving", SwapPolicy::kResourcePreserving}}),
        "How one version takes another's place: the old one goes only once the new one is ready, "
        "or the old one goes "
        "first (never two in memory, a gap in service).");
    s.Field("labels", &ModelConfig::labels, schema::Map(schema::Integer<int64_t>(1)),
            "Names for versions, for requests that ask by label.");
    s.Field("load_retries", &ModelConfig::load_retries, schema::Integer<int>(0, 1000),
            "How often a failed load is tried again.");
    s.Field("load_retry_delay", &ModelConfig::load_retry_delay, schema::Time<milliseconds>(0ms, 1h),
            "Time between two tries.");
    s.Field("warmup_requests", &ModelConfig::warmup_requests, schema::Integer<int>(0, 10'000),
            "Rows of zeros sent through a version before it is ready; 0 = none.");
    s.Field("warmup_repeats", &ModelConfig::warmup_repeats, schema::Integer<int>(0, 10'000),
            "How often each request of a version's assets.extra/tf_serving_warmup_requests is sent "
            "through it, instead of zeros; 0 = they are not looked at.");
    s.Field("execution", &ModelConfig::execution,
            schema::Enum<ExecutionMode>({{"auto", ExecutionMode::kAuto},
                                         {"inline", ExecutionMode::kInline},
                                         {"pool", ExecutionMode::kPool}}),
            "Where the model runs: on the thread that read the request, in the pool, or by "
            "measured cost.");
    s.Field("inline_below", &ModelConfig::inline_below, schema::Time<microseconds>(0us, 10s),
            "execution auto: a model whose call takes less than this runs inline.");
    s.Field("intra_op_threads", &ModelConfig::intra_op_threads, schema::Integer<int>(1, 1024),
            "Threads that one call may use.");
    s.Field("instances", &ModelConfig::instances, schema::Integer<int>(0, 256),
            "How many calls may run at once, each on a thread of its own, with a queue of the "
            "model's own before "
            "them. 0 = with batching 1, otherwise no queue of its own: see execution. Models of "
            "Python have so many worker processes a version; 0 = 1.");
    s.Field("batching", &ModelConfig::batching,
            schema::Optional(schema::Of(BatchingConfigSchema())),
            "Requests are put together into batches; absent = they are not.");
    s.Field(
        "auto_batching", &ModelConfig::auto_batching, schema::Boolean(),
        "Without batching and instances: requests for a model that runs inline, of which several "
        "come "
        "at the same moment, are run together. Only where a test at load finds that no row changes "
        "another's answer.");
    s.Field("required", &ModelConfig::required, schema::Boolean(),
            "The process is ready only once this model is (/readyz).");
    s.Field("runtime_options", &ModelConfig::runtime_options, schema::Map(schema::Text()),
            "Settings passed on to the model runtime.");
    s.Check([](const ModelConfig& model, schema::Problems& problems) {
      if (model.HasOwnQueue() && model.execution != ExecutionMode::kAuto) {
        problems.Add("execution",
                     StrCat(model.batching ? "batching" : "instances",
                            " gives the model a queue and threads of its own; remove execution"));
      }
      for (const auto& [label, version] : model.labels) {
        std::string wrong = CheckModelName(label);
        if (!wrong.empty()) problems.Add("labels." + label, "the label " + wrong);
        const auto& specific = model.policy.specific;
        if (model.policy.kind == VersionPolicy::Kind::kSpecific &&
            std::find(specific.begin(), specific.end(), version) == specific.end()) {
          problems.Add("labels." + label,
                       StrCat("version ", version, " is not among versions.specific"));
        }
      }
    });
    return s;
  }();
  return table;
}

const schema::Struct<LifecycleManager::Options>& LifecycleOptionsSchema() {
  using Options = LifecycleManager::Options;
  static const auto table = [] {
    schema::Struct<Options> s("LifecycleOptions", "Finding and loading model versions.");
    s.Field("poll_interval", &Options::poll_interval, schema::Time<milliseconds>(10ms, 24h),
            "How often folders on file systems are listed; other stores: storage.poll_interval.");
    s.Field("load_threads", &Options::load_threads, schema::Integer<int>(1, 64),
            "How many versions may load at once: so many that are here, and so many that are "
            "fetched first. Each that waits for its Python interpreter to start lets another load "
            "beside it, so many at most.");
    s.Field("load_priority", &Options::low_priority,
            schema::Enum<bool>({{"low", true}, {"normal", false}}),
            "low: loads give way to requests, for the CPU and for the disk.");
    s.Field("memory_limit", &Options::memory_limit, schema::Bytes<int64_t>(0, int64_t{1} << 50),
            "Resident memory of the process beyond which no further version is loaded; it waits, "
            "and its state "
            "says how much is missing. 0 = no limit.");
    s.Field("drain_timeout", &Options::drain_timeout, schema::Time<milliseconds>(0ms, 24h),
            "How long requests may hold an unwanted version before it is reported.");
    s.Field("forget_after", &Options::forget_after, schema::Time<milliseconds>(0ms, 8760h),
            "How long what was counted for a version is kept once it is out of memory: then its "
            "series leave /metrics, and the monitor lets the profile of its inputs go.");
    return s;
  }();
  return table;
}

}  // namespace leadsman
