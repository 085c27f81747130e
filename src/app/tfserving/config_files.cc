#include "app/tfserving/config_files.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

#include "app/tfserving/model_server.pb.h"
#include "base/strings.h"
#include "base/text_proto.h"
#include "lifecycle/config_schema.h"

namespace leadsman::tfserving {
namespace {

constexpr const char* kDefaultMetricsPath = "/monitoring/prometheus/metrics";
constexpr int64_t kMaxBatch = 65'536;

/// The formats that `model_platform` may name beside "tensorflow".
const std::vector<std::string>& Platforms() {
  static const std::vector<std::string> kPlatforms = {
      "tensorflow", "onnx", "xgboost", "lightgbm", "mlflow", "sklearn", "keras", "python"};
  return kPlatforms;
}

/// Where problems go: into a text with lines, or into a list for what came over the wire.
class Problems {
 public:
  virtual ~Problems() = default;
  virtual void Add(const std::string& path, std::string message) = 0;
};
class TextProblems final : public Problems {
 public:
  explicit TextProblems(TextProto& text) : text_(text) {}
  void Add(const std::string& path, std::string message) override {
    text_.Add(path, std::move(message));
  }

 private:
  TextProto& text_;
};
class ListedProblems final : public Problems {
 public:
  void Add(const std::string& path, std::string message) override {
    all += StrCat(all.empty() ? "" : "\n", path, ": ", message);
  }
  std::string all;
};

void ReadPolicy(const tfconfig::ServableVersionPolicy& from, const std::string& path,
                Problems& problems, VersionPolicy& policy) {
  switch (from.policy_choice_case()) {
    case tfconfig::ServableVersionPolicy::kLatest:
      // TensorFlow Serving takes 0 for 1.
      policy.latest = static_cast<int>(std::clamp<uint32_t>(from.latest().num_versions(), 1, 1000));
      return;
    case tfconfig::ServableVersionPolicy::kAll:
      policy.kind = VersionPolicy::Kind::kAll;
      return;
    case tfconfig::ServableVersionPolicy::kSpecific: {
      policy.kind = VersionPolicy::Kind::kSpecific;
      std::set<int64_t> seen;
      for (int i = 0; i < from.specific().versions_size(); ++i) {
        int64_t version = from.specific().versions(i);
        std::string at = StrCat(path, ".specific.versions[", i, "]");
        if (version < 1) {
          problems.Add(at, StrCat("must be a version from 1 on, not ", version));
        } else if (seen.insert(version).second) {
          policy.specific.push_back(version);
        }
      }
      if (from.specific().versions_size() == 0) {
        problems.Add(path + ".specific", "names no version; give versions: 1, or take latest {}");
      }
      return;
    }
    case tfconfig::ServableVersionPolicy::POLICY_CHOICE_NOT_SET:
      return;
  }
}

void CheckLogging(const tfconfig::LoggingConfig& logging, const std::string& path,
                  Problems& problems) {
  if (logging.log_collector_config().type().empty() &&
      logging.sampling_config().sampling_rate() <= 0)
    return;
  problems.Add(path,
               "request logging by a log collector is not supported (TensorFlow Serving's own "
               "binary has no collector either); remove the block: predictions are kept by the "
               "monitor, see models[].monitoring");
}

void ReadModel(const tfconfig::ModelConfig& from, const std::string& path, Problems& problems,
               Config::Model& to) {
  ModelConfig& model = to.model;
  model.name = from.name();
  model.path = from.base_path();
  std::string wrong = CheckModelName(from.name());
  if (!wrong.empty()) problems.Add(path + ".name", "the model's name " + wrong);
  if (from.base_path().empty())
    problems.Add(path + ".base_path", "must name the folder with one sub-folder a version");
  if (from.model_type() == tfconfig::OTHER) {
    problems.Add(path + ".model_type",
                 "OTHER says nothing; give model_platform instead: " + HumanList(Platforms()));
  }
  const std::string& platform = from.model_platform();
  if (!platform.empty() && platform != "tensorflow") {
    const std::vector<std::string>& known = Platforms();
    if (std::find(known.begin(), known.end(), platform) == known.end()) {
      auto near = DidYouMean(platform, known);
      problems.Add(path + ".model_platform",
                   StrCat("unknown platform ", platform,
                          near ? StrCat("; did you mean ", *near, "?")
                               : StrCat("; there are ", HumanList(known))));
    }
    model.format = platform;
  }
  ReadPolicy(from.model_version_policy(), path + ".model_version_policy", problems, model.policy);
  for (const auto& [label, version] : from.version_labels()) {
    std::string bad = CheckModelName(label);
    if (!bad.empty()) problems.Add(path + ".version_labels", StrCat("the label ", label, " ", bad));
    if (version < 1) {
      problems.Add(path + ".version_labels",
                   StrCat("the label ", label, " needs a version from 1 on, not ", version));
    }
    const std::vector<int64_t>& specific = model.policy.specific;
    if (model.policy.kind == VersionPolicy::Kind::kSpecific &&
        std::find(specific.begin(), specific.end(), version) == specific.end()) {
      problems.Add(path + ".version_labels",
                   StrCat("the label ", label, " points at version ", version,
                          ", which is not among model_version_policy.specific.versions"));
    }
    model.labels[label] = version;
  }
  CheckLogging(from.logging_config(), path + ".logging_config", problems);
  for (int i = 0; i < from.logging_configs_size(); ++i)
    CheckLogging(from.logging_configs(i), StrCat(path, ".logging_configs[", i, "]"), problems);
}

std::vector<Config::Model> ReadModels(const tfconfig::ModelServerConfig& from,
                                      const InitialModel& initial, Problems& problems) {
  std::vector<Config::Model> models;
  if (from.config_case() == tfconfig::ModelServerConfig::kCustomModelConfig) {
    problems.Add("custom_model_config",
                 "is not supported (nor is it by TensorFlow Serving's own binary); use "
                 "model_config_list");
    return models;
  }
  std::map<std::string, int> seen;
  for (int i = 0; i < from.model_config_list().config_size(); ++i) {
    const tfconfig::ModelConfig& config = from.model_config_list().config(i);
    std::string path = StrCat("model_config_list.config[", i, "]");
    auto [first, added] = seen.emplace(config.name(), i);
    if (!added) {
      problems.Add(path + ".name", StrCat("model_config_list.config[", first->second,
                                          "] has the name ", config.name(), " already"));
    }
    models.push_back(initial(config.name()));
    ReadModel(config, path, problems, models.back());
  }
  return models;
}

}  // namespace

Result<std::vector<Config::Model>> LoadModelConfigFile(const std::string& path,
                                                       const Config::Model& initial) {
  TextProto text;
  tfconfig::ModelServerConfig config;
  RETURN_IF_ERROR(text.Load(path, config));
  TextProblems problems(text);
  std::vector<Config::Model> models = ReadModels(
      config, [&](const std::string&) { return initial; }, problems);
  if (models.empty() && text.ok()) {
    text.Add("model_config_list",
             "names no model; give model_config_list { config { name: \"…\" base_path: \"…\" } }");
  }
  RETURN_IF_ERROR(text.status());
  return models;
}

Result<std::vector<Config::Model>> ModelsFromSerialized(std::string_view model_server_config,
                                                        const InitialModel& initial) {
  tfconfig::ModelServerConfig config;
  if (model_server_config.size() > INT32_MAX ||
      !config.ParseFromArray(model_server_config.data(),
                             static_cast<int>(model_server_config.size()))) {
    return InvalidArgumentError("not a ModelServerConfig");
  }
  if (config.config_case() == tfconfig::ModelServerConfig::CONFIG_NOT_SET) {
    return InvalidArgumentError(
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList "
        "is currently supported: set config.model_config_list");
  }
  ListedProblems problems;
  std::vector<Config::Model> models = ReadModels(config, initial, problems);
  if (!problems.all.empty()) return InvalidArgumentError(problems.all);
  return models;
}

Result<std::optional<std::string>> LoadMonitoringConfigFile(const std::string& path) {
  TextProto text;
  tfconfig::MonitoringConfig config;
  RETURN_IF_ERROR(text.Load(path, config));
  const tfconfig::PrometheusConfig& prometheus = config.prometheus_config();
  if (!prometheus.enable()) return std::optional<std::string>();
  std::string where = prometheus.path().empty() ? kDefaultMetricsPath : prometheus.path();
  if (!where.starts_with('/') || where == "/") {
    text.Add("prometheus_config.path",
             "must begin with / and name a path, as " + std::string(kDefaultMetricsPath));
  } else if (where.starts_with("/v1/") || where.starts_with("/v2/") || where == "/predict") {
    text.Add("prometheus_config.path", StrCat(where,
                                              " is where models are served; take another, "
                                              "as ",
                                              kDefaultMetricsPath));
  }
  RETURN_IF_ERROR(text.status());
  return std::optional<std::string>(std::move(where));
}

namespace {

/// `at` stands before the fields' names in problems.
BatchingParameters ReadBatching(const tfconfig::BatchingParameters& config, const std::string& at,
                                TextProto& text) {
  BatchingParameters out;
  auto take = [&](const char* name, bool given, int64_t value, int64_t min, int64_t max,
                  int64_t& to) {
    if (!given) return;
    to = value;
    if (value < min || value > max)
      text.Add(at + name, StrCat("must be from ", min, " to ", max, ", not ", value));
  };
  take("max_batch_size", config.has_max_batch_size(), config.max_batch_size().value(), 1, kMaxBatch,
       out.max_batch_size);
  take("batch_timeout_micros", config.has_batch_timeout_micros(),
       config.batch_timeout_micros().value(), 0, 3'600'000'000, out.batch_timeout_micros);
  take("max_enqueued_batches", config.has_max_enqueued_batches(),
       config.max_enqueued_batches().value(), 1, 1'000'000'000, out.max_enqueued_batches);
  if (config.has_num_batch_threads()) {
    take("num_batch_threads", true, config.num_batch_threads().value(), 1, 1024,
         out.num_batch_threads.emplace());
  }
  if (config.has_max_execution_batch_size()) {
    take("max_execution_batch_size", true, config.max_execution_batch_size().value(), 1,
         out.max_batch_size, out.max_execution_batch_size.emplace());
  }
  out.allowed_batch_sizes = {config.allowed_batch_sizes().begin(),
                             config.allowed_batch_sizes().end()};
  for (size_t i = 0; i < out.allowed_batch_sizes.size(); ++i) {
    int64_t size = out.allowed_batch_sizes[i];
    if (size < 1 || (i > 0 && size <= out.allowed_batch_sizes[i - 1])) {
      text.Add(StrCat(at, "allowed_batch_sizes[", i, "]"),
               "sizes must be positive and in increasing order");
    }
  }
  out.enable_large_batch_splitting = config.enable_large_batch_splitting().value();
  // With splitting the largest allowed size is that of an execution, as in TensorFlow Serving.
  int64_t largest = out.enable_large_batch_splitting && out.max_execution_batch_size
                        ? *out.max_execution_batch_size
                        : out.max_batch_size;
  if (!out.allowed_batch_sizes.empty() && out.allowed_batch_sizes.back() != largest) {
    text.Add(at + "allowed_batch_sizes", StrCat("the last must be max_batch_size (", largest,
                                                "), not ", out.allowed_batch_sizes.back()));
  }
  out.pad_variable_length_inputs = config.pad_variable_length_inputs();
  return out;
}

/// What else a message sets than the fields of these numbers.
void ListOthers(const google::protobuf::Message& config, std::initializer_list<int> taken,
                std::vector<std::string>& others) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  config.GetReflection()->ListFields(config, &set);
  for (const google::protobuf::FieldDescriptor* field : set) {
    if (std::find(taken.begin(), taken.end(), field->number()) == taken.end())
      others.push_back(field->name());
  }
}

SessionConfig ReadSession(const tfconfig::ConfigProto& config) {
  SessionConfig out;
  // What is below 1 is TensorFlow's choice, or the calling thread: the server's default.
  out.intra_op_threads = std::clamp(config.intra_op_parallelism_threads(), 0, 1024);
  out.inter_op_threads = std::clamp(config.inter_op_parallelism_threads(), 0, 1024);
  ListOthers(config,
             {tfconfig::ConfigProto::kIntraOpParallelismThreadsFieldNumber,
              tfconfig::ConfigProto::kInterOpParallelismThreadsFieldNumber},
             out.without_effect);
  return out;
}

}  // namespace

Result<BatchingParameters> LoadBatchingParametersFile(const std::string& path) {
  TextProto text;
  tfconfig::BatchingParameters config;
  RETURN_IF_ERROR(text.Load(path, config));
  BatchingParameters out = ReadBatching(config, "", text);
  RETURN_IF_ERROR(text.status());
  return out;
}

Result<SessionConfig> LoadSessionConfigFile(const std::string& path) {
  TextProto text;
  text.PassOver(tfconfig::NotRead::descriptor()->full_name());
  tfconfig::ConfigProto config;
  RETURN_IF_ERROR(text.Load(path, config));
  return ReadSession(config);
}

Result<PlatformConfig> LoadPlatformConfigFile(const std::string& path) {
  TextProto text;
  text.PassOver(tfconfig::NotRead::descriptor()->full_name());
  text.ReadAnysAs("tensorflow.serving", tfconfig::NotRead::descriptor()->file()->package());
  tfconfig::PlatformConfigMap config;
  RETURN_IF_ERROR(text.Load(path, config));
  PlatformConfig out;
  for (const auto& [platform, of_platform] : config.platform_configs()) {
    if (platform != "tensorflow") {
      text.Add("platform_configs",
               StrCat("there is no platform ", platform,
                      "; only that of tensorflow is configured here, others by model_platform in "
                      "--model_config_file"));
      continue;
    }
    tfconfig::SavedModelBundleSourceAdapterConfig adapter;
    const google::protobuf::Any& any = of_platform.source_adapter_config();
    if (!any.type_url().ends_with("/tensorflow.serving.SavedModelBundleSourceAdapterConfig") ||
        !adapter.ParseFromString(any.value())) {
      text.Add("platform_configs",
               "source_adapter_config must hold a SavedModelBundleSourceAdapterConfig");
      continue;
    }
    const tfconfig::SessionBundleConfig& bundle = adapter.legacy_config();
    out.session = ReadSession(bundle.session_config());
    if (bundle.has_batching_parameters())
      out.batching =
          ReadBatching(bundle.batching_parameters(), "platform_configs.batching_parameters.", text);
    out.per_model_batching = bundle.enable_per_model_batching_params();
    out.tags = {bundle.saved_model_tags().begin(), bundle.saved_model_tags().end()};
    // A version's own warm-up requests are sent whatever it says.
    ListOthers(bundle,
               {tfconfig::SessionBundleConfig::kSessionConfigFieldNumber,
                tfconfig::SessionBundleConfig::kBatchingParametersFieldNumber,
                tfconfig::SessionBundleConfig::kSavedModelTagsFieldNumber,
                tfconfig::SessionBundleConfig::kEnableModelWarmupFieldNumber},
               out.session.without_effect);
  }
  RETURN_IF_ERROR(text.status());
  return out;
}

namespace {

Result<net::TlsBundle::Content> ReadSslConfig(const std::string& path) {
  TextProto text;
  tfconfig::SSLConfig config;
  RETURN_IF_ERROR(text.Load(path, config));
  for (auto [name, value] : {std::pair("server_key", &config.server_key()),
                             std::pair("server_cert", &config.server_cert())}) {
    if (value->find("-----BEGIN ") == std::string::npos)
      text.Add(name, "must hold the PEM text itself (\"-----BEGIN …\"), not a file's name");
  }
  if (config.client_verify() && config.custom_ca().empty())
    text.Add("client_verify",
             "needs custom_ca: the certificates that clients are verified against");
  RETURN_IF_ERROR(text.status());
  net::TlsBundle::Content content;
  content.pem = {config.server_cert(), config.server_key(), config.custom_ca()};
  if (config.client_verify()) content.client_auth = net::ClientAuth::kRequired;
  return content;
}

}  // namespace

net::TlsBundle SslConfigFile(const std::string& path) {
  return {.file = path,
          .certificate_field = "server_cert",
          .key_field = "server_key",
          .authorities_field = "custom_ca",
          .read = ReadSslConfig};
}

}  // namespace leadsman::tfserving
